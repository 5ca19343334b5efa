"""Kubernetes' interface to containerd (CRI, runtime.v1), without a client of its own: a few of its calls.

A message is a dictionary from the numbers of its fields to their values, as api.proto of k8s.io/cri-api has them.
"""

from .flow import Failure


class Service:
    """The runtime service behind a socket."""

    def __init__(self, socket):
        # Its package is there where the slower flows are run.
        import grpc

        self._error = grpc.RpcError
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def __call__(self, method, request):
        """The answer by field."""
        return decode(self._call(method, request))

    def listed(self, method, request):
        """The messages that the first field of the answer repeats."""
        return [decode(value) for number, value in fields(self._call(method, request)) if number == 1]

    def refused(self, method, request):
        """The name of the error's code, and its words."""
        try:
            self._send(method, request)
        except self._error as error:
            return error.code().name, error.details()
        raise Failure(f"{method} succeeds")

    def _call(self, method, request):
        try:
            return self._send(method, request)
        except self._error as error:
            raise Failure(f"{method}: {error.details()}") from error

    def _send(self, method, request):
        return self._channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")(encode(request), timeout=120)

    def close(self):
        self._channel.close()


def encode(message):
    """In protobuf's wire format, encoding of varints and of what has a length."""
    return b"".join(_field(number, value) for number, value in message.items())


def _field(number, value):
    if isinstance(value, list):
        return b"".join(_field(number, one) for one in value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = encode(value) if isinstance(value, dict) else value.encode()
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    bits = [value & 0x7F]
    while value := value >> 7:
        bits.append(value & 0x7F)
    return bytes([*(part | 0x80 for part in bits[:-1]), bits[-1]])


def decode(data):
    """The fields of a message: an integer, or bytes. Of a repeated one the last."""
    return dict(fields(data))


def fields(data):
    """The number and the value of each field, in their order."""
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        value, place = _read_varint(data, place)
        if key & 7 == 2:
            value, place = data[place : place + value], place + value
        yield key >> 3, value


def _read_varint(data, place):
    value = shift = 0
    while True:
        value |= (data[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if data[place - 1] < 0x80:
            return value, place
