"""Server ACL decisions by matrix-synapse's compiled evaluator, called the way Synapse calls it: with the port taken off.

Writes synapse-server-acl.json beside this file. See ORIGIN.md for the packages.
"""

import json
import pathlib

from synapse.events import make_event_from_dict
from synapse.storage.controllers.state import server_acl_evaluator_from_event
from synapse.util.stringutils import parse_server_name

SERVERS = [
    "good.example", "good.example:8448", "sub.good.example", "evil.example", "evil.example:1", "EVIL.example",
    "notevil.example", "evil.example.org", "evilXexample", "a.b.evil.example", "1.2.3.4", "1.2.3.4:8448", "127.0.0.1",
    "[::1]", "[::1]:8448", "[2001:db8::7]", "1.2.3.4.example", "a", "ab", "abc", "xn--bcher-kva.example", "999.1.1.1",
    "1.2.3", "a-b.example", "aab.example",
]

CONTENTS = {
    "allow all": {"allow": ["*"]},
    "deny one": {"allow": ["*"], "deny": ["evil.example"]},
    "deny one and what is below": {"allow": ["*"], "deny": ["evil.example", "*.evil.example"]},
    "deny with port in the pattern": {"allow": ["*"], "deny": ["evil.example:1"]},
    "deny in upper case": {"allow": ["*"], "deny": ["EVIL.EXAMPLE"]},
    "allow one only": {"allow": ["good.example"]},
    "allow below only": {"allow": ["*.good.example"]},
    "deny wins": {"allow": ["evil.example"], "deny": ["evil.example"]},
    "question marks": {"allow": ["?", "??"]},
    "star in the middle": {"allow": ["e*e"]},
    "stars and question marks": {"allow": ["*?.e*"], "deny": ["???"]},
    "regex characters": {"allow": ["*"], "deny": [
        "evil.exampl[ef]", ".*", "a+b.example", "^evil.example$", "(evil.example|x)", "evil.example\\", "\\w"]},
    "no ip literals": {"allow": ["*"], "allow_ip_literals": False},
    "ip literals": {"allow": ["*"], "allow_ip_literals": True},
    "ip literals, not a boolean": {"allow": ["*"], "allow_ip_literals": "false"},
    "ip literals, zero": {"allow": ["*"], "allow_ip_literals": 0},
    "deny an address": {"allow": ["*"], "deny": ["1.2.3.4", "[::1]"]},
    "allow an address": {"allow": ["1.2.*", "[2001:db8::*]"]},
    "nothing": {},
    "empty lists": {"allow": [], "deny": []},
    "deny only": {"deny": ["evil.example"]},
    "allow is text": {"allow": "*"},
    "deny is text": {"allow": ["*"], "deny": "evil.example"},
    "entries of other types": {"allow": [1, None, "good.example", {"a": 1}, ["*"]], "deny": [True]},
    "empty pattern": {"allow": ["*"], "deny": [""]},
    "stars in a row": {"allow": ["***.example"]},
}


def main():
    vectors = []
    for name, content in CONTENTS.items():
        made = make_event_from_dict({
            "type": "m.room.server_acl", "state_key": "", "sender": "@a:domain", "room_id": "!r:domain",
            "content": content, "event_id": "$acl:domain", "origin_server_ts": 1, "depth": 1, "prev_events": [],
            "auth_events": [], "hashes": {}, "signatures": {},
        })
        evaluator = server_acl_evaluator_from_event(made)
        allowed = [server for server in SERVERS if evaluator.server_matches_acl_event(parse_server_name(server)[0])]
        vectors.append({"name": name, "content": content, "allowed": allowed})
    here = pathlib.Path(__file__).parent
    text = json.dumps({"servers": SERVERS, "acls": vectors}, indent=1)
    (here / "synapse-server-acl.json").write_text(text + "\n", encoding="utf-8")


main()
