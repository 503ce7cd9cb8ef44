import asyncio, http.server, select, signal, socket, socketserver, threading, urllib.request

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=server.serve_forever, daemon=True).start()
def ask(n):
    with socket.create_connection(server.server_address) as s:
        f = s.makefile("rw")
        for i in range(20):
            f.write(f"client {n} line {i}\n")
            f.flush()
            assert f.readline() == f"CLIENT {n} LINE {i}\n"
clients = [threading.Thread(target=ask, args=(n,)) for n in range(10)]
[c.start() for c in clients]
[c.join() for c in clients]
server.shutdown()
server.server_close()
print("ten clients served")

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"you asked for {self.path}".encode() * 1000)
    def log_message(self, *_):
        pass
web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
threading.Thread(target=web.serve_forever, daemon=True).start()
for n in range(5):
    body = urllib.request.urlopen(f"http://127.0.0.1:{web.server_address[1]}/{n}").read()
    print(len(body), body[:20])
web.shutdown()
web.server_close()

a, b = socket.socketpair()
b.setblocking(False)
try:
    b.recv(1)
except BlockingIOError:
    print("would block")
a.sendall(b"x" * 100000)
got = 0
while got < 100000:
    select.select([b], [], [])
    got += len(b.recv(1 << 16))
print("received", got)

async def talk():
    async def serve(reader, writer):
        writer.write((await reader.readline())[::-1])
        await writer.drain()
        writer.close()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as s:
        port = s.sockets[0].getsockname()[1]
        async def ask(n):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{n}\n".encode())
            answer = await reader.read()
            writer.close()
            return answer
        print(await asyncio.gather(*(ask(n) for n in range(5))))
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await process.communicate(b"through cat"), process.returncode)
asyncio.run(talk())

signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()
print("done")
