"""Canonical JSON by the canonicaljson package, signed JSON by signedjson, and X-Matrix headers as matrix-synapse
reads them.

Writes canonicaljson.json, signedjson.json and synapse-x-matrix.json beside this file. See ORIGIN.md for the packages.
"""

import json
import logging
import pathlib
import random

from canonicaljson import encode_canonical_json
from signedjson.key import decode_signing_key_base64, get_verify_key
from signedjson.sign import sign_json
from synapse.api.errors import SynapseError
from synapse.events.utils import validate_canonicaljson
from synapse.federation.transport.server._base import AuthenticationError, _parse_auth_header
from unpaddedbase64 import encode_base64

HERE = pathlib.Path(__file__).parent
logging.disable(logging.CRITICAL)

TEXTS = [
    "{}", '{"a":{}}', '{"a":[]}', '{"b":1,"a":2}', '{"10":1,"9":2,"1":3}', '{"":1}', '{" ":1,"\\t":2}',
    '{"\\ufb33":1,"\\ud83d\\ude00":2,"\\uffff":3,"\\ue000":4,"\\ud800\\udc00":5}',
    '{"__proto__":{"toString":1},"constructor":{"prototype":2},"hasOwnProperty":3}',
    '{"a":"\\u0000\\u0001\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u001e\\u001f\\u007f\\u0080\\u2028\\u2029\\ufeff"}',
    '{"a":"\\/\\\\\\"/"}', '{"a":"\\u00e9","e\\u0301":"\\u65e5"}', '{"a":-0}', '{"a":0,"b":-1}',
    '{"a":9007199254740991,"b":-9007199254740991}', '{"a":9007199254740992}', '{"a":-9007199254740992}',
    '{"a":1.0}', '{"a":1e3}', '{"a":1E3}', '{"a":0.5}', '{"a":1e400}', '{"a":[1,[2,[3,{"z":null,"y":true,"x":false}]]]}',
    ' { "a" : [ 1 , 2 ] } ', '{"a":"\\ud83d\\ude00"}', '{"A":1,"a":2,"_":3,"-":4,"~":5}',
]


def canonical_cases():
    for text in TEXTS:
        value = json.loads(text)
        try:
            validate_canonicaljson(value)
            yield {"input": text, "output": encode_canonical_json(value).decode("utf-8")}
        except SynapseError as refused:
            yield {"input": text, "refused": refused.msg}


def random_value(rng, depth):
    kind = rng.choice("snibaoo" if depth else "snib")
    if kind == "s":
        return "".join(chr(rng.choice([rng.randrange(0, 0x80), rng.randrange(0xE000, 0x10FFFF)])) for _ in range(rng.randrange(4)))
    if kind == "n":
        return None
    if kind == "i":
        return rng.choice([0, 1, -1, 2**53 - 1, -(2**53) + 1, rng.randrange(-10**6, 10**6)])
    if kind == "b":
        return rng.choice([True, False])
    if kind == "a":
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {random_value_key(rng): random_value(rng, depth - 1) for _ in range(rng.randrange(5))}


def random_value_key(rng):
    return rng.choice(["", "9", "10", "a", "A", "__proto__", "\ufb33", "\U0001f600", chr(rng.randrange(0x20, 0xD800))])


def signed_cases():
    rng = random.Random(3)
    for number in range(24):
        seed = encode_base64(bytes(rng.randrange(256) for _ in range(32)))
        key = decode_signing_key_base64("ed25519", "a_%d" % number, seed)
        value = {random_value_key(rng): random_value(rng, 3) for _ in range(1 + number % 6)}
        value["unsigned"] = {"age": number}
        signed = sign_json(json.loads(json.dumps(value)), "server%d.example" % number, key)
        yield {
            "seed": seed, "key_id": "ed25519:a_%d" % number, "server": "server%d.example" % number,
            "public_key": encode_base64(get_verify_key(key).encode()),
            "canonical": encode_canonical_json({k: v for k, v in value.items() if k != "unsigned"}).decode("utf-8"),
            "signed": signed,
        }


SIG = "1hZXxXQF8Zt/vfE8LzILvRnFHXueIECKPrWeV+zb/eU2u1RQrY6Wv3dkLwWpDR4eSuvbcb/lOB8mp8Io+U6QDg"
HEADERS = [
    f'X-Matrix origin="domain",destination="resident.example",key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin=domain,destination=resident.example,key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin=domain,key=ed25519:1,sig="{SIG}"',
    f'X-Matrix origin=domain:8448,key=ed25519:1,sig={SIG}',
    f'X-Matrix   origin="domain" , key="ed25519:1"\t,\tsig="{SIG}"',
    f'X-Matrix sig="{SIG}",key="ed25519:1",origin="domain",destination="resident.example:8448"',
    f'X-Matrix ORIGIN="domain",Key="ed25519:1",SIG="{SIG}"',
    f'X-Matrix origin="dom\\ain",key="ed25519\\:1",sig="{SIG}"',
    f'X-Matrix origin="[::1]:8448",key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin="domain",key="ed25519:1",sig="{SIG}==",future="yes"',
    'X-Matrix origin="domain",key="ed25519:1"',
    f'X-Matrix key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin="domain",sig="{SIG}"',
    f'X-Matrix origin="dom ain",key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin="",key="ed25519:1",sig="{SIG}"',
    f'X-Matrix origin="do/main",key="ed25519:1",sig="{SIG}"',
    'X-Matrix',
    'X-Matrix ',
    '',
    'Bearer token',
    f'X-Matrix origin,key="ed25519:1",sig="{SIG}"',
]


def header_cases():
    for header in HEADERS:
        try:
            origin, key, sig, destination = _parse_auth_header(header.encode("utf-8"))
            yield {"header": header, "origin": origin, "key": key, "sig": sig, "destination": destination}
        except AuthenticationError:
            yield {"header": header, "refused": True}


def write(name, cases):
    (HERE / name).write_text(json.dumps({"cases": list(cases)}, indent=1) + "\n", encoding="utf-8")


write("canonicaljson.json", canonical_cases())
write("signedjson.json", signed_cases())
write("synapse-x-matrix.json", header_cases())
