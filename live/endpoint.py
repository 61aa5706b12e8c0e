"""Where OSC is listened for, and from whom: HOST:PORT and the networks of allowed senders."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

from engine.errors import UserError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")
PRIVATE = (
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)


def parse_endpoint(text: str) -> tuple[str, int]:
    """Host and port from HOST:PORT or [HOST]:PORT (IPv6). Raises UserError."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    good = port.isascii() and port.isdecimal() and int(port) <= 65535
    if not (colon and host and good) or (":" in host and not bracketed):
        raise UserError(f"OSC address {text!r}: give HOST:PORT, for example 0.0.0.0:9000")
    return host, int(port)


def open_socket(listen: str) -> socket.socket:
    """A socket that hears UDP on HOST:PORT and never waits. Raises UserError."""
    host, port = parse_endpoint(listen)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f"OSC address {listen}: no such host: {error}") from error
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if sys.platform == "win32":  # else a second program could take the port over silently
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise UserError(_why_not(host, port, error)) from error
    opened.setblocking(False)
    return opened


def open_listener(udp: socket.socket) -> socket.socket | None:
    """A socket that hears TCP where another hears UDP; None where that port is taken."""
    listener = socket.socket(udp.family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a desk that was connected a minute ago must not keep the port from the next show
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(udp.getsockname())
        listener.listen(8)
    except OSError:
        listener.close()
        return None
    listener.setblocking(False)
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    elsewhere = "or listen elsewhere with --osc HOST:PORT"
    if error.errno == errno.EADDRINUSE:
        return f"OSC port {port} is taken by {_holder(port)}; end that, {elsewhere}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"OSC: {host} is no address of this machine; use 0.0.0.0 for all of them"
    if error.errno == errno.EACCES:
        return f"OSC port {port} may not be used by this user; use one from 1024 up, {elsewhere}"
    return f"OSC cannot listen on {host}:{port}: {error.strerror}; {elsewhere}"


def _holder(port: int) -> str:
    """Which program has this UDP port, as far as the system tells."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("udp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program, perhaps another Anthesis or a desk's own software"


def default_allow(host: str) -> tuple[str, ...]:
    """Who may send when nobody said: this machine, and when more than it is listened to, a LAN."""
    with suppress(ValueError):
        return LOOPBACK if ipaddress.ip_address(host).is_loopback else PRIVATE
    return LOOPBACK if host == "localhost" else PRIVATE


def networks(allow: Sequence[str]) -> tuple[Network, ...]:
    """Networks from their CIDR notation, or single addresses. Raises UserError."""
    read = []
    for text in allow:
        try:
            read.append(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            problem = f"OSC allow {text!r}: {error}; write a network like 192.168.1.0/24"
            raise UserError(problem) from error
    return tuple(read)


def contains(allow: Sequence[Network], host: str) -> bool:
    """Whether a sender is in one of these networks; IPv4 senders on an IPv6 socket too."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in allow)
