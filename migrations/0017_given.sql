-- The time between due and deadline that a send had before it was first brought back; null for all others. Waiting in
-- quiet hours moves the deadline, and who is brought back again and again must not gain by it each time.
alter table sends add column given_ms bigint;
