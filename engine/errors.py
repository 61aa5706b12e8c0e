"""What a user is told of what they can put right."""


class UserError(Exception):
    """What came from outside is wrong: a file, an option, an address, a missing driver.

    The message is one line that says what is wrong, where, and what to do about it. The command
    line prints it as it stands and ends with exit code 2; anything else that escapes is our fault
    and ends with 1.
    """


def one_line(said: str) -> str:
    """What is said, in a line: names of files hold anything, line breaks and escapes too."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in said)
