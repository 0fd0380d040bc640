//! Codes of messages, their encoding and the schema registry.

use super::{BY_ITSELF, Code, code};

pub(super) const CODES: &[Code] = &[
    code(
        "absent-value",
        "A new row lacks a value that the database did not send (an unchanged large value), and the message has no \
         place for a mark of it.",
        "ALTER TABLE .. REPLICA IDENTITY FULL, or format.absent = \"placeholder\", or leave the column out",
    ),
    code(
        "unrepresentable",
        "A number is NaN or infinite, or an array has more than one dimension or nulls, and the schema has no room for \
         it.",
        "set format.decimals = \"text\", or format.specials = \"null\"",
    ),
    code(
        "null-value",
        "A null stands where the schema allows none.",
        "report the table's definition to the project",
    ),
    code(
        "value-range",
        "A value is outside of what the message's type can hold.",
        "leave the column out, or correct the value",
    ),
    code(
        "value-kind",
        "A value is of another kind than its column.",
        "report the table's definition to the project",
    ),
    code(
        "row-without-key",
        "A row of a table without a key was deleted, which the shape `row` cannot tell.",
        "give the table a primary key, or set format.shape = \"debezium\"",
    ),
    code(
        "topic-collision",
        "Two tables would write to one topic, because their names differ only in characters that topics don't have.",
        "rename one table, or leave it out with source.exclude",
    ),
    code(
        "schema-collision",
        "Two tables would have one schema name, because their names differ only in characters that schemas don't have.",
        "rename one table, or leave it out with source.exclude",
    ),
    code(
        "field-collision",
        "Two columns would have one field name, because their names differ only in characters that fields don't have.",
        "rename one column, or leave it out with source.exclude",
    ),
    code(
        "unprepared",
        "A batch was encoded before it was prepared: a defect of this program.",
        "report it to the project",
    ),
    code(
        "schema-incompatible",
        "The registry refuses a table's new schema; its own words are in the message. The position stays before the \
         first row of that schema.",
        "make the change compatible, or loosen the subject's compatibility in the registry for this one version",
    ),
    code(
        "registry-unavailable",
        "The schema registry does not answer, or asks for patience.",
        BY_ITSELF,
    ),
    code(
        "registry-unauthorized",
        "The schema registry refuses the credentials.",
        "set user and password, or token, in [format.registry]",
    ),
    code(
        "registry-config",
        "An option of [format.registry] cannot be used.",
        "correct the option that the message names",
    ),
    code(
        "registry-tls",
        "The schema registry's certificate is not trusted.",
        "set ca in [format.registry.tls] to the registry's certificate authority",
    ),
    code(
        "registry-redirect",
        "The schema registry sends us elsewhere; redirects are not followed, as credentials would go along.",
        "set url in [format.registry] to the registry itself",
    ),
    code(
        "registry-not-found",
        "There is no schema registry at this address.",
        "set url in [format.registry] to its Confluent-compatible interface, such as http://host:8080/apis/ccompat/v7",
    ),
    code(
        "registry-refused",
        "The schema registry refuses the request; its own words are in the message.",
        "see the registry's rules for the subject",
    ),
    code(
        "registry-answer",
        "What answers does not speak as a schema registry.",
        "set url in [format.registry] to its Confluent-compatible interface",
    ),
];
