"""Tokens signed by PyJWT and cryptography, for the check of signatures in src/api/signatures.rs.

    pip install pyjwt cryptography
    python tests/golden/tokens.py > tests/golden/tokens.json

The keys are made anew at each run, so the file changes as a whole.
"""
import json
import secrets

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CLAIMS = {"sub": "dr-lee", "exp": 4102444800}


def case(name, private, public):
    algorithm = jwt.get_algorithm_by_name(name)
    key = algorithm.to_jwk(public, as_dict=True)
    key.pop("key_ops", None)
    return {"algorithm": name, "key": key, "token": jwt.encode(CLAIMS, private, name)}


def main():
    rsa_key = rsa.generate_private_key(65537, 2048)
    cases = [case(name, rsa_key, rsa_key.public_key()) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")]
    for name, curve in (("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1())):
        key = ec.generate_private_key(curve)
        cases.append(case(name, key, key.public_key()))
    key = ed25519.Ed25519PrivateKey.generate()
    cases.append(case("EdDSA", key, key.public_key()))
    for name in ("HS256", "HS384", "HS512"):
        secret = secrets.token_bytes(64)
        cases.append(case(name, secret, secret))
    print(json.dumps(cases, indent=1))


main()
