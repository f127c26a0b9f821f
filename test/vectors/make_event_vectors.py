"""Content hashes, redactions and event ids of many events in room versions 1 to 12, as matrix-synapse computes them.

Writes synapse-events.json beside this file. See ORIGIN.md for the packages.
"""

import copy
import hashlib
import json
import pathlib

from canonicaljson import encode_canonical_json
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json
from synapse.api.room_versions import KNOWN_ROOM_VERSIONS
from synapse.crypto.event_signing import compute_content_hash
from synapse.events import make_event_from_dict
from synapse.synapse_rust.events import redact_event_dict
from unpaddedbase64 import encode_base64

VERSIONS = [str(number) for number in range(1, 13)]
SEED = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
KEY = decode_signing_key_base64("ed25519", "1", SEED)

BASE = {
    "room_id": "!room:domain",
    "sender": "@alice:domain",
    "origin_server_ts": 1760000000000,
    "depth": 7,
    "prev_events": [],
    "auth_events": [],
    "hashes": {},
    "signatures": {},
}


def event(event_type, content, state_key="", **extra):
    made = {**copy.deepcopy(BASE), "type": event_type, "content": content, **extra}
    if state_key is not None:
        made["state_key"] = state_key
    return made


MEMBER = {
    "membership": "knock",
    "displayname": "Zo\u00eb \U0001f600",
    "reason": "please",
    "join_authorised_via_users_server": "@host:domain",
    "third_party_invite": {"display_name": "a", "signed": {"mxid": "@a:domain", "token": "t"}},
}
POWER = {
    "ban": 50, "events": {"m.room.name": 50}, "events_default": 0, "invite": 10, "kick": 50, "redact": 50,
    "state_default": 50, "users": {"@alice:domain": 100}, "users_default": 0, "notifications": {"room": 20},
    "historical": 100,
}
ODD_TOP = {
    "origin": "domain", "prev_state": [], "membership": "knock", "redacts": "$gone", "unsigned": {"age": 3},
    "replaces_state": "$old", "__proto__": {"x": 1}, "constructor": "c", "9": 1, "10": 2, "": "empty",
}

EVENTS = {
    "knock": event("m.room.member", {"membership": "knock"}, "@alice:domain"),
    "knock, everything in content": event("m.room.member", MEMBER, "@alice:domain"),
    "knock, odd top-level keys": event("m.room.member", MEMBER, "@alice:domain", **ODD_TOP),
    "member, third_party_invite without signed": event(
        "m.room.member", {"membership": "invite", "third_party_invite": {"display_name": "a"}}, "@alice:domain"),
    "member, third_party_invite is text": event(
        "m.room.member", {"membership": "invite", "third_party_invite": "a"}, "@alice:domain"),
    "member, signed is null": event(
        "m.room.member", {"membership": "invite", "third_party_invite": {"signed": None, "x": 1}}, "@alice:domain"),
    "member, membership is a list": event("m.room.member", {"membership": ["knock"]}, "@alice:domain"),
    "member without state_key": event("m.room.member", {"membership": "knock", "reason": "r"}, None),
    "create": event("m.room.create", {"creator": "@alice:domain", "room_version": "10", "m.federate": False}),
    "create, additional creators": event(
        "m.room.create", {"room_version": "12", "additional_creators": ["@bob:domain"], "__proto__": 1, "9": 1}),
    "create, predecessor and odd top": event(
        "m.room.create", {"creator": "@a:b", "predecessor": {"room_id": "!o:d"}}, **ODD_TOP),
    "join rules": event("m.room.join_rules", {"join_rule": "knock", "other": 1}),
    "join rules with allow": event(
        "m.room.join_rules",
        {"join_rule": "knock_restricted", "allow": [{"type": "m.room_membership", "room_id": "!s:d"}], "deny": []}),
    "power levels": event("m.room.power_levels", POWER),
    "power levels, empty": event("m.room.power_levels", {}),
    "history visibility": event("m.room.history_visibility", {"history_visibility": "shared", "x": 1}),
    "aliases": event("m.room.aliases", {"aliases": ["#a:domain"], "x": 1}, "domain"),
    "redaction": event("m.room.redaction", {"redacts": "$gone", "reason": "spam"}, None, redacts="$gone"),
    "message": event("m.room.message", {"msgtype": "m.text", "body": "hello"}, None),
    "tombstone": event("m.room.tombstone", {"body": "moved", "replacement_room": "!new:domain"}),
    "server acl": event("m.room.server_acl", {"allow": ["*"], "deny": ["evil.example"]}),
    "name": event("m.room.name", {"name": "n"}),
    "encryption": event("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
    "guest access": event("m.room.guest_access", {"guest_access": "can_join"}),
    "third party invite": event("m.room.third_party_invite", {"display_name": "a", "public_key": "k"}, "token"),
    "policy": event("m.room.policy", {"via": "domain", "public_keys": {"ed25519": "k"}}),
    "type constructor": event("constructor", {"name": "x", "prototype": 1}),
    "type __proto__": event("__proto__", {"membership": "knock", "creator": "x"}),
    "type toString": event("toString", {"length": 1}),
    "type in another case": event("M.ROOM.MEMBER", {"membership": "knock"}, "@alice:domain"),
    "content keys that objects inherit": event(
        "m.room.member", {"membership": "knock", "__proto__": {"a": 1}, "constructor": 1, "hasOwnProperty": 2},
        "@alice:domain"),
    "key order beyond the basic plane": event(
        "m.room.message", {"\ufb33": 1, "\U0001f600": 2, "\uffff": 3, "z": {"\ue000": 4, "\U00010000": 5}}, None),
    "control characters": event("m.room.message", {"body": "\u0000\u0008\u000b\u001f\u007f\u2028/\"\\"}, None),
    "large and small integers": event("m.room.message", {"a": 2**53 - 1, "b": -(2**53) + 1, "c": 0}, None),
    "empty state_key against none": event("m.room.topic", {"topic": "t"}, ""),
    "origin only": event("m.room.member", {"membership": "knock"}, "@alice:domain", origin="elsewhere"),
}


def without_ids(pdu, version):
    made = copy.deepcopy(pdu)
    if version in ("1", "2"):
        made["event_id"] = "$event:domain"
    if version == "12":
        if pdu["type"] == "m.room.create":
            del made["room_id"]
        else:
            made["room_id"] = "!" + "A" * 43
    return made


def computed(pdu, version):
    room_version = KNOWN_ROOM_VERSIONS[version]
    pdu = copy.deepcopy(pdu)
    _, digest = compute_content_hash(pdu, hashlib.sha256)
    pdu["hashes"] = {"sha256": encode_base64(digest)}
    redacted = redact_event_dict(room_version, copy.deepcopy(pdu))
    for key in ("signatures", "unsigned", "age_ts"):
        redacted.pop(key, None)
    signed = sign_json(copy.deepcopy(redacted), "domain", KEY)
    made = make_event_from_dict({**pdu, "signatures": signed["signatures"]}, room_version)
    return {
        "content_hash": pdu["hashes"]["sha256"],
        "redacted": encode_canonical_json(redacted).decode("utf-8"),
        "event_id": made.event_id,
        "signature": signed["signatures"]["domain"]["ed25519:1"],
    }


def main():
    vectors = []
    for name, pdu in EVENTS.items():
        groups = []
        for version in VERSIONS:
            given = without_ids(pdu, version)
            result = computed(given, version)
            for group in groups:
                if group["pdu"] == given and group["result"] == result:
                    group["versions"].append(version)
                    break
            else:
                groups.append({"versions": [version], "pdu": given, "result": result})
        vectors.append({"name": name, "groups": groups})
    here = pathlib.Path(__file__).parent
    text = json.dumps({"events": vectors}, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (here / "synapse-events.json").write_text(text + "\n", encoding="utf-8")


main()
