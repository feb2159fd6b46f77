#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server for tests that answers as the URL requests, and logs requests.

Usage: answers.py LOG. Prints its port. Each request becomes a line of JSON in
LOG: time, method, target, headers as received, length of the body, its first
1,000 bytes, connection number.

/NAME?status=429&times=2&h=Retry-After:%201 answers the first two requests for
NAME with 429 and that header, later ones with 200. Other words of the query:

  body=TEXT   the body (hello)        gzip=1      send it compressed
  to=URL      a Location              reset=1     reset the connection instead
  close=1     close it instead        wait=S      wait before the answer
  cut=1       send half the body only
"""
import gzip
import json
import socket
import struct
import sys
import threading
import time
from urllib.parse import parse_qsl, urlsplit

lock = threading.Lock()
counts = {}
connections = 0


def read_request(stream):
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = []
    while (line := stream.readline().decode("latin-1").rstrip("\r\n")) != "":
        headers.append(line)
    length = 0
    for header in headers:
        name, _, value = header.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return first[0], first[1], headers, stream.read(length)


def answer(conn, target):
    """Returns whether the connection stays open."""
    url = urlsplit(target)
    query = parse_qsl(url.query, keep_blank_values=True)
    say = dict(query)
    with lock:
        counts[url.path] = counts.get(url.path, 0) + 1
        special = counts[url.path] <= int(say.get("times", 1 << 30))
    if special and "wait" in say:
        time.sleep(float(say["wait"]))
    if special and "reset" in say:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        return False
    if special and "close" in say:
        return False
    body = say.get("body", "hello").encode()
    head = "HTTP/1.1 %s X\r\n" % (say.get("status", 200) if special else 200)
    if special:
        head += "".join(v + "\r\n" for k, v in query if k == "h")
        if "to" in say:
            head += "Location: " + say["to"] + "\r\n"
    if "gzip" in say:
        body = gzip.compress(body)
        head += "Content-Encoding: gzip\r\n"
    head += "Content-Length: %d\r\n\r\n" % len(body)
    if special and "cut" in say:
        body = body[:len(body) // 2]
    conn.sendall(head.encode("latin-1") + body)
    return not (special and "cut" in say)


def serve(conn, log):
    global connections
    with lock:
        connections += 1
        number = connections
    stream = conn.makefile("rb")
    try:
        while (got := read_request(stream)) is not None:
            method, target, headers, body = got
            with lock:
                log.write(json.dumps({
                    "t": time.time(), "method": method, "target": target,
                    "headers": headers, "bytes": len(body),
                    "body": body[:1000].decode("latin-1"),
                    "connection": number}) + "\n")
                log.flush()
            if not answer(conn, target):
                break
    except OSError:
        pass
    stream.close()
    conn.close()


def main():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print(listener.getsockname()[1], flush=True)
    with open(sys.argv[1], "a", encoding="utf-8") as log:
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn, log),
                             daemon=True).start()


main()
