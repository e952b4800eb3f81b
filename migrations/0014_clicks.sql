-- Whose orders are is asked of clicks, of all campaigns together.
create index sends_clicked on sends (clicked_at, id) where clicked_at is not null;
-- Mails that went out long after they were due, which is rare: those sent again by hand are learnt from by this.
create index sends_late on sends (campaign, submitted_at) where submitted_at - first_due_at > 86400000;
