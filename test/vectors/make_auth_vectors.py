"""Whether a knock may stand, as matrix-synapse's check_state_dependent_auth_rules decides it, over a matrix of
room version, join rule, earlier membership, m.federate and who created the room.

Writes synapse-knock-auth.json beside this file. See ORIGIN.md for the packages.
"""

import itertools
import json
import pathlib

from synapse.api.errors import AuthError
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.event_auth import check_state_dependent_auth_rules
from synapse.events import make_event_from_dict

VERSIONS = [str(number) for number in range(6, 13)]
JOIN_RULES = ["knock", "knock_restricted", "restricted", "public", "invite", "private", "Knock", "", None]
MEMBERSHIPS = [None, "leave", "knock", "invite", "join", "ban"]
FEDERATE = [None, True, False]
# Who knocks: somebody from elsewhere, somebody from the creator's server, the creator, a further creator.
KNOCKERS = ["@bob:elsewhere", "@carol:domain", "@alice:domain", "@dan:elsewhere"]
CREATOR = "@alice:domain"


def build(version, event_type, state_key, sender, content):
    fields = {
        "type": event_type, "state_key": state_key, "sender": sender, "content": content,
        "room_id": "!" + "A" * 43 if version == "12" else "!room:domain",
        "origin_server_ts": 1, "depth": 1, "prev_events": ["$" + "P" * 43], "auth_events": [],
        "hashes": {"sha256": "A" * 43}, "signatures": {},
    }
    if event_type == "m.room.create":
        fields["prev_events"] = []
        if version == "12":
            del fields["room_id"]
    return make_event_from_dict(fields, KNOWN_ROOM_VERSIONS[version])


def create_content(version, federate):
    content = {"room_version": version}
    if version in ("6", "7", "8", "9", "10"):
        content["creator"] = CREATOR
    if version == "12":
        content["additional_creators"] = ["@dan:elsewhere"]
    if federate is not None:
        content["m.federate"] = federate
    return content


def decide(version, join_rule, membership, federate, knocker, state_key):
    state = [
        build(version, "m.room.create", "", CREATOR, create_content(version, federate)),
        build(version, "m.room.power_levels", "", CREATOR, {} if version == "12" else {"users": {CREATOR: 100}}),
    ]
    if join_rule is not None:
        state.append(build(version, "m.room.join_rules", "", CREATOR, {"join_rule": join_rule}))
    if membership is not None:
        state.append(build(version, "m.room.member", knocker, knocker, {"membership": membership}))
    knock = build(version, "m.room.member", state_key, knocker, {"membership": "knock"})
    try:
        check_state_dependent_auth_rules(knock, state)
        return True
    except AuthError:
        return False


def main():
    rows = []
    for version, join_rule, membership, federate, knocker in itertools.product(
            VERSIONS, JOIN_RULES, MEMBERSHIPS, FEDERATE, KNOCKERS):
        allowed = decide(version, join_rule, membership, federate, knocker, knocker)
        rows.append([version, join_rule, membership, federate, knocker, knocker, allowed])
    for version, knocker in itertools.product(VERSIONS, KNOCKERS):
        allowed = decide(version, "knock", None, None, knocker, "@eve:domain")
        rows.append([version, "knock", None, None, knocker, "@eve:domain", allowed])
    # Only the rows that may stand are written: the rest of the product is refused, and counted.
    accepted = [row[:-1] for row in rows if row[-1]]
    out = {
        "versions": VERSIONS, "join_rules": JOIN_RULES, "memberships": MEMBERSHIPS, "federate": FEDERATE,
        "knockers": KNOCKERS, "creator": CREATOR, "other_state_key": "@eve:domain",
        "rows": len(rows), "accepted": accepted,
    }
    here = pathlib.Path(__file__).parent
    text = json.dumps(out, separators=(",", ":")).replace('["', '\n["')
    (here / "synapse-knock-auth.json").write_text(text + "\n", encoding="utf-8")
    print(len(rows), len(accepted))


main()
