#!/usr/bin/env python3
"""Checks every crate in the graph: its licence is one we may ship, and it is not one we forbid.

Advisories need a database that is not always reachable; `cargo audit` reads it where it is.
"""
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MIT", "MIT-0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause",
    "ISC", "OpenSSL", "Unicode-3.0", "Unicode-DFS-2016", "Zlib", "CC0-1.0", "CDLA-Permissive-2.0", "0BSD", "Unlicense",
    "BSL-1.0",
}
# MPL-2.0 binds the files of the crate itself and nothing of ours.
ALLOWED_FOR = {"sasl": {"MPL-2.0"}, "option-ext": {"MPL-2.0"}, "rxml": {"MIT"}, "rxml_validation": {"MIT"}}
FORBIDDEN = {
    "ring": "two TLS providers in one binary panic in libraries that ask for the default; we use aws-lc-rs",
    "openssl-sys": "TLS is rustls", "native-tls": "TLS is rustls", "webpki-roots": "roots are the system's",
}
# What one crate may pull in, with a feature of its own.
ONLY_FOR = {
    # sqlx's TLS over aws-lc-rs always does, and reads it only where it may not use the system's roots.
    "webpki-roots": ("sqlx-core", "rustls-native-certs"),
    # librdkafka speaks TLS and SASL by OpenSSL and nothing else; rustls is not asked for its provider there.
    "openssl-sys": ("rdkafka-sys", "ssl"),
}


def allowed(expression, names):
    """SPDX: `A OR B` needs one, `A AND B` needs all. A slash is the old way to write OR."""
    expression = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|\bOR\b|\bAND\b|[A-Za-z0-9.+-]+(?: WITH [A-Za-z0-9.-]+)?", expression)

    def either(i):
        value, i = both(i)
        while i < len(tokens) and tokens[i] == "OR":
            other, i = both(i + 1)
            value = value or other
        return value, i

    def both(i):
        value, i = one(i)
        while i < len(tokens) and tokens[i] == "AND":
            other, i = one(i + 1)
            value = value and other
        return value, i

    def one(i):
        if tokens[i] == "(":
            value, i = either(i + 1)
            return value, i + 1
        return tokens[i] in names, i + 1

    return bool(tokens) and either(0)[0]


def is_excepted(name):
    """Only the one crate depends on it, and has that feature."""
    if name not in ONLY_FOR:
        return False
    user, feature = ONLY_FOR[name]
    command = ["cargo", "tree", "--workspace", "--all-features", "--locked", "--prefix", "depth"]
    users = subprocess.check_output([*command, "--invert", name, "--format", ":{p}:{f}"], text=True).splitlines()
    users = [line.split(":") for line in users if line.startswith("1:")]
    return bool(users) and all(
        package.split()[0] == user and feature in features.split(",") for _, package, features in users)


def main():
    # What is really built, with all features: Cargo.lock also names what optional dependencies could pull in.
    command = ["cargo", "tree", "--workspace", "--all-features", "--locked", "--prefix", "none", "--format", "{p}|{l}"]
    lines = set(subprocess.check_output(command, text=True).replace(" (*)", "").splitlines())
    crates = sorted(tuple(line.split("|", 1)) for line in lines if "|" in line)
    wrong = []
    for package, licence in crates:
        name = package.split()[0]
        if name in FORBIDDEN and not is_excepted(name):
            wrong.append(f"{package} is forbidden: {FORBIDDEN[name]}")
        if not allowed(licence, ALLOWED | ALLOWED_FOR.get(name, set())):
            wrong.append(f"{package}: licence {licence or 'not stated'} is not on the list")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"dependencies: {len(crates)} crates, {len(wrong)} wrong")
    return 1 if wrong or not crates else 0


if __name__ == "__main__":
    sys.exit(main())
