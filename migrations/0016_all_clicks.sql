-- Whose orders are is asked of every click, not of the first of each mail alone.
create index hits_clicked on hits (at, send_id) where kind = 'click' and class = 'human';
