-- How often questions about consent are mailed is counted by address, by profile and by key.

create index consent_requests_address on consent_requests (address, requested_at);
create index consent_requests_at on consent_requests (requested_at);
