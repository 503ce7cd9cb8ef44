//! As an ordinary user: everything works without root. Run by root, these tests become nobody; else
//! they run as whoever runs them.

use homenode_tests::{Case, Way, check};

/// Copies our programs to where that user can read them, and runs the command as that user.
fn as_user(case: Case, groups: &str) {
    as_user_in(Way::Elsewhere, case, groups);
}

fn as_user_in(way: Way, case: Case, groups: &str) {
    let around = format!(
        r#"
        umask 022
        dir=$(mktemp -d -p /tmp) && trap 'rm -r "$dir"' EXIT && chmod 755 "$dir"
        if [ -x "${{1%/*}}/homenode-runtime" ]; then
            cp "${{1%/*}}"/{{mosexec,homenode-homeproxy,homenode-runtime}} "$dir"
            shift
            set -- "$dir/mosexec" "$@"
        fi
        cd / && export HOME=/ TMPDIR=/tmp
        if [ "$(id -u)" = 0 ]; then
            setpriv --reuid 65534 --regid 65534 {groups} "$@"
        else
            "$@"
        fi"#
    );
    check(way, &case.around(&around));
}

#[test]
fn moved_to_and_fro() {
    let script = "import threading, time\n\
                  def work():\n\
                  \x20   for n in range(30): time.sleep(0.02)\n\
                  threads = [threading.Thread(target=work) for n in range(4)]\n\
                  [t.start() for t in threads]; [t.join() for t in threads]\n\
                  print(sum(range(100000)))";
    let case = Case::script("python3", script).says("4999950000");
    as_user_in(Way::Shuffled, case, "--clear-groups");
}

#[test]
fn a_shell_with_children() {
    let script = "id; ls / | wc -l; for i in 1 2 3; do echo $i | cat | cat; done; (sleep 0.1; echo late) & wait";
    as_user(Case::script("sh", script).says("late\n"), "--clear-groups");
}

#[test]
fn with_supplementary_groups() {
    as_user(Case::new(["id"]).says("uid="), "--groups 4,24");
}

#[test]
fn what_the_user_may_not_is_refused() {
    let script = "cat /etc/shadow 2>&1 >/dev/null | tail -c 20; : >/etc/homenode 2>&1; echo $?";
    as_user(Case::script("bash", script), "--clear-groups");
}

#[test]
fn threads_and_python() {
    let script = "import threading\n\
                  threads = [threading.Thread(target=print, args=(n,)) for n in range(1)]\n\
                  [t.start() for t in threads]; [t.join() for t in threads]\n\
                  print(open('/proc/self/comm').read())";
    as_user(
        Case::script("python3", script).says("python3"),
        "--clear-groups",
    );
}

#[test]
fn programs_that_the_user_may_execute_and_not_read() {
    let script = "cp /bin/cat /tmp/homenode-$$; chmod 111 /tmp/homenode-$$; \
                  echo text | /tmp/homenode-$$; rm -f /tmp/homenode-$$";
    as_user(Case::script("sh", script).says("text\n"), "--clear-groups");
}
