"""Live transcription written plainly, in the manner of vosk-server's asr_server.py: WebSocket in, text out.

One recogniser per connection, in a pool of threads; every message is a piece of sound, the answer is a partial or a
result (https://github.com/alphacep/vosk-server/blob/master/websocket/asr_server.py).
"""

import asyncio
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import vosk
from websockets.asyncio.server import ServerConnection, serve

vosk.SetLogLevel(-1)
model = vosk.Model(os.environ["MODEL"])
pool = ThreadPoolExecutor(os.cpu_count() or 1)


def process(recogniser: vosk.KaldiRecognizer, message: bytes | str) -> tuple[str, bool]:
    if message == '{"eof" : 1}':
        return recogniser.FinalResult(), True
    if recogniser.AcceptWaveform(message):
        return recogniser.Result(), False
    return recogniser.PartialResult(), False


async def recognise(connection: ServerConnection) -> None:
    recogniser = vosk.KaldiRecognizer(model, 8000)
    recogniser.SetWords(True)  # noqa: FBT003 -- as vosk has it
    loop = asyncio.get_running_loop()
    async for message in connection:
        text, stop = await loop.run_in_executor(pool, process, recogniser, message)
        await connection.send(text)
        if stop:
            break


async def main() -> None:
    async with serve(recognise, "127.0.0.1", int(os.environ["PORT"])) as server:
        print(json.dumps({"ready": True}), file=sys.stderr, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
