//! What a processor can do that programs see: they find out when they start, and use it from then on.

use std::collections::BTreeSet;
use std::fs;

/// Flags of `/proc/cpuinfo` that stand for something a program can use without the kernel's help. Flags
/// that only the kernel or a virtual machine minds are left out: they need not agree.
const OF_PROGRAMS: &[&str] = &[
    "sse",
    "sse2",
    "pni",
    "ssse3",
    "sse4_1",
    "sse4_2",
    "sse4a",
    "avx",
    "avx2",
    "fma",
    "fma4",
    "xop",
    "f16c",
    "aes",
    "pclmulqdq",
    "vaes",
    "vpclmulqdq",
    "gfni",
    "sha_ni",
    "sha512",
    "sm3",
    "sm4",
    "adx",
    "bmi1",
    "bmi2",
    "tbm",
    "abm",
    "popcnt",
    "movbe",
    "rdrand",
    "rdseed",
    "rdtscp",
    "rdpid",
    "fsgsbase",
    "cx16",
    "lahf_lm",
    "rtm",
    "hle",
    "clflushopt",
    "clwb",
    "cldemote",
    "clzero",
    "movdiri",
    "movdir64b",
    "serialize",
    "waitpkg",
    "monitorx",
    "xsave",
    "xsaveopt",
    "xsavec",
    "xgetbv1",
    "erms",
    "fsrm",
    "ospke",
    "user_shstk",
    "avx_vnni",
    "avx_ifma",
    "avx_vnni_int8",
    "avx_vnni_int16",
    "avx_ne_convert",
    "cmpccxadd",
    "avx512f",
    "avx512dq",
    "avx512cd",
    "avx512bw",
    "avx512vl",
    "avx512_vbmi2",
    "avx512_vnni",
    "avx512_bitalg",
    "avx512_vpopcntdq",
    "avx512vbmi",
    "avx512ifma",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vp2intersect",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
    "amx_complex",
    "apx",
    "3dnow",
    "3dnowext",
    "mmxext",
    "prefetchi",
];

/// Of this machine, by the names that `/proc/cpuinfo` has for them. All of its processors have the same.
pub fn features() -> Vec<String> {
    features_of(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn features_of(cpuinfo: &str) -> Vec<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let flags = line
        .and_then(|line| line.split_once(':'))
        .map_or("", |(_, flags)| flags);
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    let of_programs = flags.into_iter().filter(|flag| OF_PROGRAMS.contains(flag));
    of_programs.map(str::to_owned).collect()
}

/// Whether a program that has started where these are can go on where those are.
///
/// # Errors
/// It could not, for the lack of these, in words.
pub fn suffices(there: &[String], here: &[String]) -> Result<(), String> {
    let missing: Vec<&str> = there
        .iter()
        .filter(|feature| !here.contains(feature))
        .map(String::as_str)
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(format!(
            "its processors lack {}, which programs that were started at home may use",
            missing.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_use_counts() {
        let of =
            |flags: &str| features_of(&format!("processor\t: 0\nflags\t\t: {flags}\nbugs\t: x\n"));
        let home = of("fpu sse avx512f avx2 hypervisor pti");
        assert_eq!(home, ["avx2", "avx512f", "sse"]);
        assert_eq!(suffices(&home, &of("sse avx2 avx512f aes")), Ok(()));
        assert_eq!(suffices(&[], &[]), Ok(()));
        let error = suffices(&home, &of("sse hypervisor")).expect_err("two are missing");
        assert!(
            error.starts_with("its processors lack avx2, avx512f, which"),
            "{error}"
        );
    }

    #[test]
    fn this_machine_has_some_and_suffices_for_itself() {
        let own = features();
        assert!(own.iter().any(|feature| feature == "sse2"), "{own:?}");
        assert_eq!(suffices(&own, &own), Ok(()));
    }
}
