local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do
  words[#words + 1] = word
end
table.sort(words)
print(_VERSION, table.concat(words, " "))
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print(fib(24), string.format("%.3f", math.sqrt(2)))
local file = assert(io.open("by-lua", "w"))
for i = 1, 1000 do file:write(i, "\n") end
file:close()
local sum = 0
for line in io.lines("by-lua") do sum = sum + tonumber(line) end
print(sum, os.execute("exit 3"))
local pipe = io.popen("echo through a pipe")
print(pipe:read("a"), pcall(error, "caught"))
