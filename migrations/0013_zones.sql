-- A planner reads only the people of zones in which a campaign is due now.
create index profiles_zone on profiles (time_zone, id);
