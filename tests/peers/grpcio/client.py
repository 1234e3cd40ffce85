"""A gRPC client that is not Go's: asks what it is told on its input, by grpcio.

usage: client.py TARGET [AUTHORITY]
A line of input is a method and its request in hexadecimal digits. The answer is `message DIGITS` for each message and `end`, or
`error CODE TEXT`. A call with one answer looks on the wire like one with many.
"""

import sys

import grpc

options = [("grpc.default_authority", authority) for authority in sys.argv[2:]]
channel = grpc.insecure_channel(sys.argv[1], options=options)
for line in sys.stdin:
    method, _, request = line.rstrip("\n").partition(" ")
    try:
        for message in channel.unary_stream(method)(bytes.fromhex(request)):
            print("message", message.hex())
        print("end", flush=True)
    except grpc.RpcError as error:
        print("error", error.code().value[0], error.details().replace("\n", " "), flush=True)
