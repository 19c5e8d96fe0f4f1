"""Runs one module of CPython's test suite and says each test's verdict on a line of its own:

    @@ start|pass|fail|skip TEST NOTE

usage: driver.py MODULE SECONDS [-TEST…] [+TEST…], where SECONDS is for one test; a test with a "-" in
front is left out and, if there are some with a "+", all but those are. Both may hold wildcards.
"""
import faulthandler
import fcntl
import fnmatch
import importlib
import os
import sys
import time
import unittest

from test import support
from test.support import os_helper

process = os.getpid()


def name(test):
    return test.id().replace(" ", "_")


def say(verdict, test, note=""):
    # A child that a test forked may return into the runner. It has no say.
    if os.getpid() == process:
        os.write(verdicts, f"\n@@ {verdict} {test} {note!r}\n".encode())


class Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        say("start", name(test))
        self.verdict, self.note, self.began = "pass", "", time.monotonic()
        if os.getpid() == process:
            faulthandler.dump_traceback_later(limit, exit=True, file=traces)

    def stopTest(self, test):
        super().stopTest(test)
        if os.getpid() == process:
            faulthandler.cancel_dump_traceback_later()
        say(self.verdict, name(test), f"{time.monotonic() - self.began:.2f} s {self.note}")

    def judge(self, test, verdict, note=""):
        if isinstance(test, unittest.suite._ErrorHolder):
            say(verdict, name(test), note)
        else:
            self.verdict, self.note = verdict, note

    def addError(self, test, err):
        super().addError(test, err)
        self.judge(test, "fail", self._exc_info_to_string(err, test)[-2000:])

    addFailure = addError

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.judge(test, "skip", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.judge(test, "fail", "unexpected success")

    def addSubTest(self, test, sub, err):
        super().addSubTest(test, sub, err)
        if err is not None:
            self.judge(test, "fail", f"{sub} {self._exc_info_to_string(err, test)[-2000:]}")


def wanted(test):
    return not any(fnmatch.fnmatchcase(name(test), p) for p in left_out) and (
        not only or any(fnmatch.fnmatchcase(name(test), p) for p in only))


def chosen(suite):
    kept = type(suite)()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(chosen(test))
        elif wanted(test):
            kept.addTest(test)
    return kept


def main():
    global limit, left_out, only, verdicts, traces
    module, limit, choice = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    del sys.argv[1:]
    left_out = [c[1:] for c in choice if c[0] == "-"]
    only = [c[1:] for c in choice if c[0] == "+"]
    # Tests redirect and close the standard streams.
    verdicts = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 200)
    traces = os.fdopen(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 201), "w")
    support.verbose = True
    # Neither network nor what asks for gigabytes.
    support.use_resources = ["subprocess", "cpu", "largefile", "walltime", "decimal", "tzdata"]
    faulthandler.enable(file=traces)
    with os_helper.temp_cwd(f"cpython-{process}", quiet=True):
        try:
            tests = importlib.import_module("test." + module)
        except unittest.SkipTest as e:
            say("skip", "test." + module, str(e))
            sys.exit(0)
        loader = unittest.TestLoader()
        suite = loader.loadTestsFromModule(tests)
        for e in loader.errors:
            say("fail", "test." + module, e)
        unittest.TextTestRunner(verbosity=2, resultclass=Result).run(chosen(suite))


# Children that multiprocessing spawns import this file.
if __name__ == "__main__":
    main()
