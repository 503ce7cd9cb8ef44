# Asks a server that it finds by the file "port".
import os, socket, time
while not os.path.exists("port"):
    time.sleep(0.01)
with socket.create_connection(("127.0.0.1", int(open("port").read()))) as s, s.makefile("rw") as lines:
    for n in range(200):
        lines.write(f"question {n}\n")
        lines.flush()
        assert lines.readline() == f"question {n}\n"[-2::-1] + "\n"
    long = "x" * 300000 + "y"
    lines.write(long + "\n")
    lines.flush()
    assert lines.readline() == long[::-1] + "\n"
    lines.write("end\n")
    lines.flush()
    print(lines.readline().strip())
