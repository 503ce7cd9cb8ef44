/* The smallest interpreter: runs the script that it is given. */
#include "lauxlib.h"
#include "lualib.h"
#include <stdio.h>

int main(int count, char **arguments)
{
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    if (count != 2 || luaL_dofile(lua, arguments[1])) {
        fprintf(stderr, "%s\n", lua_tostring(lua, -1));
        return 1;
    }
    lua_close(lua);
    return 0;
}
