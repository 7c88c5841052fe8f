"""Runs slixmpp's own integration tests (`itests` of its source package) and tells each result as a line of JSON.

    slixmpp_own.py ADDRESS STARTTLS_PORT DIRECT_PORT DOMAIN CA [TEST KNOWN TO FAIL...]

The environment holds what the tests themselves ask for: SLIXMPP_SOURCE, and CI_ACCOUNT1 and the like. Nothing of
slixmpp is changed but what DNS would tell it and which authority it trusts.
"""
import asyncio
import importlib
import json
import logging
import os
import sys
import unittest
import warnings
from pathlib import Path

ADDRESS, STARTTLS, DIRECT, DOMAIN, CA, *KNOWN = sys.argv[1:]
# Most that fail do so by waiting for what never comes.
SECONDS, SECONDS_KNOWN = 15, 3
SOURCE = Path(os.environ["SLIXMPP_SOURCE"]).resolve()


def main():
    # Behind the installed slixmpp, so that only the tests come from there.
    sys.path.append(str(SOURCE))
    os.chdir(SOURCE)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    point_to_the_server()
    bound_each_test()
    modules = sorted(file.stem for file in (SOURCE / "itests").glob("test_*.py"))
    suite = unittest.TestSuite(importlib.import_module(f"itests.{name}").suite for name in modules)
    suite.run(Tell())


def point_to_the_server():
    """DNS as it would be: SRV records for both ways to connect, and an address for the domain."""
    from slixmpp.xmlstream import XMLStream
    begin, connect = XMLStream.__init__, XMLStream.connect

    def trusting(self, *arguments, **options):
        begin(self, *arguments, **options)
        self.ca_certs = CA

    async def records(self, domain, port=None):
        ways = [("xmpps-client", self.enable_direct_tls, DIRECT), ("xmpp-client", self.enable_starttls, STARTTLS)]
        return [(service, domain, ADDRESS, int(port)) for service, wanted, port in ways if wanted]

    def connect_there(self, host=None, port=None):
        if host == DOMAIN:
            host, port = ADDRESS, {5222: STARTTLS, 5223: DIRECT}.get(port, port)
        return connect(self, host, port)

    XMLStream.__init__, XMLStream.get_dns_records, XMLStream.connect = trusting, records, connect_there


def bound_each_test():
    """None waits forever, neither at its start nor in the middle."""
    from slixmpp.test.integration import SlixIntegration

    def bounded(test, step):
        seconds = SECONDS_KNOWN if name(test) in KNOWN else SECONDS

        async def limited():
            await asyncio.wait_for(step(), seconds)
        return limited

    set_up, call = SlixIntegration._callSetUp, SlixIntegration._callTestMethod

    def set_up_bounded(self):
        self.asyncSetUp = bounded(self, self.asyncSetUp)
        return set_up(self)

    SlixIntegration._callSetUp = set_up_bounded
    SlixIntegration._callTestMethod = lambda self, method: call(self, bounded(self, method))


def name(test):
    return test.id().removeprefix("itests.")


class Tell(unittest.TestResult):
    def addSuccess(self, test):
        self.tell(test, "pass")

    def addFailure(self, test, error):
        self.tell(test, "fail", error[1])

    def addError(self, test, error):
        self.tell(test, "fail", f"{error[0].__name__}: {error[1]}")

    def addSkip(self, test, reason):
        self.tell(test, "skip", reason)

    @staticmethod
    def tell(test, result, why=""):
        told = {"test": name(test), "result": result, "why": " ".join(str(why).split())[:200]}
        print(json.dumps(told), flush=True)


main()
