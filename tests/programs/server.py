# Answers each line reversed, says on which port in the file "port", ends with the line "end".
import os, socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
with open("port.new", "w") as f:
    f.write(str(server.getsockname()[1]))
os.rename("port.new", "port")
ended = False
while not ended:
    connection, _ = server.accept()
    with connection, connection.makefile("rw") as lines:
        for line in lines:
            lines.write(line.rstrip("\n")[::-1] + "\n")
            lines.flush()
            ended |= line == "end\n"
os.unlink("port")
print("served")
