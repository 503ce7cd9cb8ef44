objects = $(patsubst %.c,%.o,$(wildcard *.c))
CFLAGS = -O1 -DLUA_USE_LINUX

lua: $(objects)
	$(CC) -o $@ $(objects) -lm -ldl
%.o: %.c $(wildcard *.h)
	$(CC) $(CFLAGS) -c -o $@ $<
clean:
	rm -f $(objects) lua
