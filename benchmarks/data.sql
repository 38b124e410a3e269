-- The data set, for both databases: 200 users, 5,000 meetings of 3 attendees, 20,000 tasks, 20,000 notes with an action
-- item each, 5,000 events in 20 categories, 1,000 products and 20,000 orders of two lines. In Meshwork the first user
-- has signed up already; all others have the same password. Everyone sees about 100 meetings, a quarter of them as the
-- organizer, 200 tasks and all events; the newest meetings and tasks of all are the first user's. Who attends an event
-- is only counted: where more want to than fit, the others wait.

INSERT INTO accounts_user (id, email, name, password, role, is_active)
SELECT i, 'user' || i || '@example.com', 'User ' || i,
    coalesce((SELECT password FROM accounts_user WHERE id = 1), '!'), 'AGENT', true
FROM generate_series(1, 200) AS i
ON CONFLICT (id) DO NOTHING;

INSERT INTO meetings_meeting
    (id, organizer_id, title, description, scheduled_time, duration_minutes, location, created_at, updated_at)
SELECT i, 1 + i % 200, 'Meeting ' || i, repeat('A point of the agenda, to be talked over. ', 3),
    made + interval '7 days', 30 + 15 * (i % 3), 'Room ' || i % 30, made, made + interval '90.5 seconds'
FROM generate_series(1, 5000) AS i, LATERAL (SELECT timestamptz '2025-01-01 08:00Z' + i * interval '37 minutes') AS t (made);

INSERT INTO meetings_attendee (meeting_id, user_id, response)
SELECT i, 1 + (i * 7 + k * 13) % 200, (ARRAY['pending', 'accepted', 'declined', 'tentative'])[1 + (i + k) % 4]
FROM generate_series(1, 5000) AS i, generate_series(1, 3) AS k
ORDER BY i, k;

INSERT INTO tasks_task
    (id, uuid, creator_id, assignee_id, due_meeting_id, title, description, status, due_date, created_at, updated_at)
SELECT i, md5('task ' || i)::uuid, 1 + i % 200, 1 + (i * 7 + 13) % 200, 1 + i % 5000, 'Task ' || i,
    repeat('Something that has to be done. ', 3), (ARRAY['todo', 'in_progress', 'done', 'cancelled'])[1 + i % 4],
    made + interval '14 days', made, made + interval '90.5 seconds'
FROM generate_series(1, 20000) AS i, LATERAL (SELECT timestamptz '2025-01-01 08:00Z' + i * interval '11 minutes') AS t (made);

INSERT INTO notes_note (id, author_id, raw_text, summary, status, revision)
SELECT i, 1 + i % 200, repeat('Something that was said. ', 10), 'Something that was said.', 'done', 1
FROM generate_series(1, 20000) AS i;

INSERT INTO notes_actionitem (note_id, title, quote)
SELECT i, 'Something to do', 'Something to do.' FROM generate_series(1, 20000) AS i;

INSERT INTO events_category (id, creator_id, name, description)
SELECT i, i, 'Category ' || i, 'Events of one kind.' FROM generate_series(1, 20) AS i;

INSERT INTO events_event
    (id, owner_id, name, description, location, start_date, end_date, category_id, capacity, status, attendee_count,
    waiting_count, sequence, created_at, updated_at)
SELECT i, 1 + i % 200, 'Event ' || i, repeat('Something to see and to hear, for everyone. ', 3), 'Hall ' || i % 30,
    made + interval '7 days', made + interval '7 days 2 hours', 1 + i % 20, capacity,
    CASE i % 50 WHEN 0 THEN 'cancelled' ELSE 'active' END, least(wanted, capacity), wanted - least(wanted, capacity), 0,
    made, made + interval '90.5 seconds'
FROM generate_series(1, 5000) AS i,
    LATERAL (SELECT nullif(i % 8, 0) * 10, i * 7 % 80) AS seats (capacity, wanted),
    LATERAL (SELECT timestamptz '2025-01-01 08:00Z' + i * interval '37 minutes') AS t (made);

INSERT INTO shop_product
    (id, owner_id, sku, name, description, price_cents, stock, reserved, sold, received, low_stock_told)
SELECT i, 1 + i % 200, 'SKU-' || i, 'Product ' || i, '', 100 * i, 1000000, 0, 0, 1000000, false
FROM generate_series(1, 1000) AS i;

INSERT INTO shop_order (id, buyer_id, status, total_cents, failure)
SELECT i, 1 + i % 200, 'FAILED', 1000, '{"code": "shop.out_of_stock", "product_id": 1, "requested": 1, "available": 0}'
FROM generate_series(1, 20000) AS i;

INSERT INTO shop_orderline (order_id, product_id, sku, name, quantity, price_cents)
SELECT i, 1 + (i * 3 + k) % 1000, 'SKU-' || 1 + (i * 3 + k) % 1000, 'Product ' || 1 + (i * 3 + k) % 1000, k, 500
FROM generate_series(1, 20000) AS i, generate_series(1, 2) AS k;

SELECT setval(pg_get_serial_sequence('accounts_user', 'id'), 200);
SELECT setval(pg_get_serial_sequence('meetings_meeting', 'id'), 5000);
SELECT setval(pg_get_serial_sequence('tasks_task', 'id'), 20000);
SELECT setval(pg_get_serial_sequence('notes_note', 'id'), 20000);
SELECT setval(pg_get_serial_sequence('events_category', 'id'), 20);
SELECT setval(pg_get_serial_sequence('events_event', 'id'), 5000);
SELECT setval(pg_get_serial_sequence('shop_product', 'id'), 1000);
SELECT setval(pg_get_serial_sequence('shop_order', 'id'), 20000);
