"""LitServe with one worker and one API server."""

import sys

import litserve


class Iris(litserve.LitAPI):
    def setup(self, device):
        from model import predict

        self.run = predict

    def decode_request(self, request):
        return request["measures"]

    def predict(self, row):
        return self.run(row)

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    litserve.LitServer(Iris(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
