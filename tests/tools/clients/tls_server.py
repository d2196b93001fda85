"""A server with a certificate: for every connection it prints what came of the handshake.

tls_server.py PORT CERTIFICATE KEY; a line is "received BYTES" (Python's form of the first bytes) or
"refused REASON".
"""

import socket
import ssl
import sys

PATIENCE_SECONDS = 5


def main():
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", int(port))) as server:
        print("listening", flush=True)
        while True:
            client, _ = server.accept()
            client.settimeout(PATIENCE_SECONDS)
            try:
                with context.wrap_socket(client, server_side=True) as talk:
                    print("received", talk.recv(200), flush=True)
            except OSError as error:
                print("refused", error, flush=True)


main()
