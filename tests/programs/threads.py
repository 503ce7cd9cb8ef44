import concurrent.futures, multiprocessing.pool, os, queue, subprocess, sys, threading

# Threads with locks, queues and a pool.
counter, lock = 0, threading.Lock()
def count():
    global counter
    for _ in range(1000):
        with lock:
            counter += 1
threads = [threading.Thread(target=count) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
print("counted", counter)
work, done = queue.Queue(), queue.Queue()
def worker():
    while (item := work.get()) is not None:
        done.put(item * item)
workers = [threading.Thread(target=worker) for _ in range(5)]
[w.start() for w in workers]
[work.put(n) for n in range(100)]
[work.put(None) for _ in workers]
[w.join() for w in workers]
print("squares", sum(done.get() for _ in range(100)))
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print("pool", sum(pool.map(lambda n: n + 1, range(1000))))

# Processes, from threads too.
def run(n):
    return subprocess.run(["sh", "-c", f"cat; echo out {n}; echo err >&2; exit {n}"], input=f"in {n}\n",
                          capture_output=True, text=True)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for r in pool.map(run, range(8)):
        print(r.returncode, r.stdout.split("\n"), r.stderr.strip())
try:
    subprocess.run(["./no-such-command"])
except FileNotFoundError as error:
    print(error)
p = subprocess.Popen(["sleep", "1000"])
try:
    p.wait(timeout=0.05)
except subprocess.TimeoutExpired:
    p.terminate()
print("sleep ended with", p.wait())
left = subprocess.Popen(["seq", "10000"], stdout=subprocess.PIPE)
right = subprocess.Popen(["tail", "-n", "1"], stdin=left.stdout, stdout=subprocess.PIPE, text=True)
left.stdout.close()
print("pipeline", right.communicate()[0].strip(), left.wait(), right.wait())

# fork without exec; a pipe; files.
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, b"from the child")
    os._exit(3)
print(os.read(r, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with open("written", "w") as f:
    f.writelines(f"line {n}\n" for n in range(1000))
print(sum(1 for _ in open("written")), os.path.getsize("written"))
print(sys.version_info[0], os.environ["LANG"], os.getcwd() == os.environ["HOME"].replace("home", "work"))
