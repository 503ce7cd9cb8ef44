/* Keys and keyrings: made in a session of one's own, which ends with the program. */
#include "shown.h"
#include <linux/keyctl.h>

#define NO_SUCH_KEY 0x7fffffff

static void show_description(long key)
{
    char text[256] = {0};
    // TYPE;UID;GID;PERMISSIONS;DESCRIPTION
    if (SEE(RAW(keyctl, KEYCTL_DESCRIBE, key, text, sizeof text)) > 0)
        printf("  %s\n", text);
}

int main(void)
{
    char text[256] = {0};
    struct iovec parts[2] = {{"in ", 3}, {"parts", 5}};
    // A session of its own; a kernel without keys is shown as natively, too.
    if (TRY_SOME(keyctl, KEYCTL_JOIN_SESSION_KEYRING, "homenode-rows") == -1)
        return ok("rows_keys");
    long session = KEY_SPEC_SESSION_KEYRING;
    CHECK(TRY_SOME(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) != -1);
    TRY_SOME(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0);
    TRY(keyctl, KEYCTL_GET_KEYRING_ID, NO_SUCH_KEY, 0);
    show_description(session);
    long key = TRY_SOME(add_key, "user", "rows:one", "payload", 7, session);
    TRY(add_key, "no such type", "rows:one", "payload", 7, session);
    TRY(add_key, "user", NULL, "payload", 7, session);
    TRY(add_key, "user", "rows:one", WILD, 7, session);
    TRY(add_key, "user", "rows:one", NULL, 7, session);
    TRY(add_key, "user", "rows:empty", NULL, 0, session);
    TRY(add_key, "user", "rows:long", text, 40000, session);
    TRY(add_key, "user", "rows:one", "payload", 1 << 21, session);
    TRY(add_key, WILD, "rows:one", "payload", 7, session);
    TRY(add_key, "user", WILD, "payload", 7, session);
    TRY(add_key, "user", "rows:one", "payload", 7, NO_SUCH_KEY);
    TRY(add_key, ".user", "rows:one", "payload", 7, session);
    TRY_SOME(request_key, "user", "rows:one", NULL, 0);
    TRY(request_key, "user", "rows:none", NULL, 0);
    TRY(request_key, "user", WILD, NULL, 0);
    TRY(request_key, WILD, "rows:one", NULL, 0);
    TRY(keyctl, KEYCTL_UPDATE, key, "newer", 5);
    TRY(keyctl, KEYCTL_UPDATE, key, WILD, 5);
    TRY(keyctl, KEYCTL_UPDATE, NO_SUCH_KEY, "newer", 5);
    TRY(keyctl, KEYCTL_READ, key, text, sizeof text);
    show_bytes("payload", text, 16);
    TRY(keyctl, KEYCTL_READ, key, NULL, 0);
    TRY(keyctl, KEYCTL_READ, key, text, 2);
    TRY(keyctl, KEYCTL_READ, key, WILD, 16);
    TRY(keyctl, KEYCTL_DESCRIBE, key, NULL, 0);
    show_description(key);
    TRY(keyctl, KEYCTL_DESCRIBE, key, text, 3);
    TRY(keyctl, KEYCTL_DESCRIBE, NO_SUCH_KEY, text, sizeof text);
    long ring = TRY_SOME(add_key, "keyring", "rows:ring", NULL, 0, session);
    TRY(keyctl, KEYCTL_LINK, key, ring);
    TRY(keyctl, KEYCTL_LINK, ring, ring);
    TRY(keyctl, KEYCTL_LINK, key, key);
    TRY_SOME(keyctl, KEYCTL_SEARCH, ring, "user", "rows:one", 0);
    TRY(keyctl, KEYCTL_SEARCH, ring, "user", "rows:none", 0);
    TRY(keyctl, KEYCTL_SEARCH, ring, WILD, "rows:one", 0);
    TRY(keyctl, KEYCTL_SEARCH, ring, "user", WILD, 0);
    TRY(keyctl, KEYCTL_READ, ring, NULL, 0);
    TRY(keyctl, KEYCTL_MOVE, key, ring, session, KEYCTL_MOVE_EXCL);
    TRY(keyctl, KEYCTL_MOVE, key, ring, session, 0);
    TRY(keyctl, KEYCTL_UNLINK, key, ring);
    TRY(keyctl, KEYCTL_CLEAR, ring);
    TRY(keyctl, KEYCTL_CLEAR, key);
    TRY(keyctl, KEYCTL_CHOWN, key, -1, getgid());
    TRY(keyctl, KEYCTL_CHOWN, NO_SUCH_KEY, -1, getgid());
    TRY(keyctl, KEYCTL_SETPERM, key, 0x3f3f0000);
    show_description(key);
    TRY(keyctl, KEYCTL_SETPERM, key, 0xffffffff);
    TRY(keyctl, KEYCTL_SET_TIMEOUT, key, 1000);
    TRY(keyctl, KEYCTL_SET_TIMEOUT, NO_SUCH_KEY, 1000);
    TRY(keyctl, KEYCTL_GET_SECURITY, key, text, sizeof text);
    TRY(keyctl, KEYCTL_INSTANTIATE, key, "payload", 7, 0);
    TRY(keyctl, KEYCTL_INSTANTIATE_IOV, key, parts, 2, 0);
    TRY(keyctl, KEYCTL_INSTANTIATE_IOV, key, WILD, 2, 0);
    TRY(keyctl, KEYCTL_NEGATE, key, 10, 0);
    TRY(keyctl, KEYCTL_REJECT, key, 10, EKEYREJECTED, 0);
    TRY(keyctl, KEYCTL_ASSUME_AUTHORITY, 0);
    TRY(keyctl, KEYCTL_ASSUME_AUTHORITY, key);
    TRY(keyctl, KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE);
    TRY(keyctl, KEYCTL_SET_REQKEY_KEYRING, 77);
    TRY(keyctl, KEYCTL_RESTRICT_KEYRING, ring, NULL, NULL);
    TRY(keyctl, KEYCTL_RESTRICT_KEYRING, ring, WILD, NULL);
    TRY(keyctl, KEYCTL_RESTRICT_KEYRING, key, NULL, NULL);
    TRY(keyctl, KEYCTL_GET_PERSISTENT, NO_SUCH_KEY, session);
    memset(text, 0, sizeof text);
    TRY(keyctl, KEYCTL_CAPABILITIES, text, sizeof text);
    show_bytes("capabilities", text, 8);
    TRY(keyctl, KEYCTL_CAPABILITIES, WILD, 8);
    TRY(keyctl, KEYCTL_CAPABILITIES, NULL, 0);
    TRY(keyctl, KEYCTL_PKEY_QUERY, key, 0, "", NULL);
    TRY(keyctl, KEYCTL_WATCH_KEY, key, -1, 0);
    TRY(keyctl, 77, 1, 2, 3);
    TRY(keyctl, KEYCTL_INVALIDATE, ring);
    TRY(keyctl, KEYCTL_REVOKE, key);
    TRY(keyctl, KEYCTL_READ, key, text, sizeof text);
    TRY(keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
    APART({
        // What a parent of another session gets only when it returns to user space.
        TRY(keyctl, KEYCTL_SESSION_TO_PARENT);
    });
    // These bring it home.
    TRY(keyctl, KEYCTL_DH_COMPUTE, NULL, NULL, 0, NULL);
    TRY(keyctl, KEYCTL_PKEY_ENCRYPT, NULL, NULL, NULL, NULL);
    TRY(keyctl, KEYCTL_PKEY_DECRYPT, NULL, NULL, NULL, NULL);
    TRY(keyctl, KEYCTL_PKEY_SIGN, NULL, NULL, NULL, NULL);
    TRY(keyctl, KEYCTL_PKEY_VERIFY, NULL, NULL, NULL, NULL);
    return ok("rows_keys");
}
