-- What the server was told for pgoutput-*.hex. Each line there is one row of
--   select encode(data, 'hex') from pg_logical_slot_peek_binary_changes('rec', null, null,
--     'proto_version', '1', 'publication_names', 'rec', 'messages', 'true' [, 'binary', 'true'])

drop table if exists orders, notes, flags cascade; drop type if exists mood; drop publication if exists rec;
create type mood as enum ('sad','ok','happy');
create table orders (id bigint primary key, quantity int not null, name varchar(40) not null, note text, price numeric(12,2), ratio float8, paid bool, at timestamp(6), feeling mood, tags text[]);
create table notes (a int not null, b text not null, c text);
alter table notes replica identity full;
create table flags (id uuid primary key, big text);
alter table flags alter column big set storage external;
create publication rec for table orders, notes, flags;
select pg_create_logical_replication_slot('rec','pgoutput');
begin;
insert into orders values (1,2,'Ada','a note',12.50,0.25,true,'2026-11-24 01:02:03.456789','happy','{a,"b c"}'),(2,-7,'Grace',null,null,'NaN',false,'-infinity',null,null);
insert into flags values ('6ab7f6e0-52b9-4b6c-9a49-1a7c3a5d9c01', repeat('x',3000));
commit;
begin;
update orders set quantity=3 where id=1;
update orders set id=10 where id=2;
update flags set id='6ab7f6e0-52b9-4b6c-9a49-1a7c3a5d9c02';
insert into notes values (1,'one',null);
update notes set c='sea';
delete from notes;
delete from orders where id=1;
select pg_logical_emit_message(true,'afterimage','in a transaction');
savepoint s; insert into notes values (9,'gone',null); rollback to s;
commit;
select pg_logical_emit_message(false,'afterimage','alone');
alter table orders add column extra int default 5;
insert into orders(id,quantity,name) values (20,0,'');
truncate orders, notes restart identity cascade;
