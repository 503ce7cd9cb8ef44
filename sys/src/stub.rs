//! The stub: a few dozen instructions that execute system calls they are handed.
//!
//! It waits on a slot of the window ([`crate::window`]), executes the batch it
//! finds there, stores the results, wakes the other side. It knows no system
//! call by name and uses no stack. `r12` holds the slot's address, `r13d` the
//! number of the last request served, `r14` the last result: the first argument
//! of a call whose number has bit 32 set.
#![allow(unsafe_code, reason = "machine code")]

use std::arch::global_asm;

use crate::window::CALLS;

// Offsets in the slot: see `crate::window`.
global_asm!(
    ".pushsection .rodata",
    ".global homenode_stub",
    ".global homenode_stub_next",
    ".global homenode_stub_calling",
    ".global homenode_stub_end",
    ".balign 16",
    "homenode_stub:",
    "2: mov eax, [r12]",
    "cmp eax, r13d",
    "jne 3f",
    "mov eax, 202",
    "mov rdi, r12",
    "xor esi, esi",
    "mov edx, r13d",
    "xor r10d, r10d",
    "syscall",
    "jmp 2b",
    "3: mov r13d, eax",
    "mov rbp, [r12 + 128]",
    "lea rbx, [r12 + 192]",
    "homenode_stub_next:",
    "4: test rbp, rbp",
    "jz 5f",
    "mov rax, [rbx]",
    "mov rdi, [rbx + 8]",
    "bt rax, 32",
    "cmovc rdi, r14",
    "mov eax, eax",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "homenode_stub_calling:",
    "mov [rbx + 56], rax",
    "mov r14, rax",
    "add rbx, 64",
    "dec rbp",
    "jmp 4b",
    "5: mov [r12 + 64], r13d",
    "mov eax, 202",
    "lea rdi, [r12 + 64]",
    "mov esi, 1",
    "mov edx, 1",
    "syscall",
    "jmp 2b",
    "homenode_stub_end:",
    ".popsection",
);

unsafe extern "C" {
    static homenode_stub: u8;
    static homenode_stub_next: u8;
    static homenode_stub_calling: u8;
    static homenode_stub_end: u8;
}

/// The stub's instructions, position-independent.
pub fn code() -> &'static [u8] {
    let start = &raw const homenode_stub;
    let length = &raw const homenode_stub_end as usize - start as usize;
    // SAFETY: the two symbols enclose the bytes assembled above, in read-only
    // data that lives as long as the program.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// Offset after the instruction that executes a handed call.
pub fn calling_offset() -> u64 {
    (&raw const homenode_stub_calling as usize - &raw const homenode_stub as usize) as u64
}

/// Whether a thread in the stub, `offset` after its start, has executed nothing of the batch of
/// `request`; `slot` is what is in `r12`, `next` in `rbx`, `served` in `r13`.
pub fn has_executed_nothing(offset: u64, [slot, next, served]: [u64; 3], request: u32) -> bool {
    if served as u32 != request {
        // It still waits, or wakes who waited for the batch before.
        return true;
    }
    let start = &raw const homenode_stub as usize;
    let batch = (&raw const homenode_stub_next as usize - start) as u64;
    // Before that `rbx` is of the batch before; there it is also behind each call.
    offset < batch || offset < calling_offset() && next == slot + CALLS as u64
}

/// Address at which [`init_program`] is loaded.
const INIT_BASE: u64 = 0x5_0000_0000;

/// A static ELF program without libc: maps descriptor `fd` (`bytes` long,
/// shared, executable) at each of `addresses`, then serves slot offset
/// `first_slot` of the first mapping. It is the init of a guest's pid
/// namespace; bodies are forked from it.
pub fn init_program(fd: u32, bytes: u64, addresses: &[u64], first_slot: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for address in addresses {
        text.extend([0x48, 0xbf]); // mov rdi, address
        text.extend(address.to_le_bytes());
        text.extend([0x48, 0xbe]); // mov rsi, bytes
        text.extend(bytes.to_le_bytes());
        text.extend([0xba, 7, 0, 0, 0]); // mov edx, PROT_READ|WRITE|EXEC
        text.extend([0x41, 0xba]); // mov r10d, MAP_SHARED|MAP_FIXED
        text.extend(0x11u32.to_le_bytes());
        text.extend([0x41, 0xb8]); // mov r8d, fd
        text.extend(fd.to_le_bytes());
        text.extend([0x45, 0x31, 0xc9]); // xor r9d, r9d
        text.extend([0xb8, 9, 0, 0, 0]); // mov eax, SYS_mmap
        text.extend([0x0f, 0x05]); // syscall
    }
    let window = addresses.first().copied().unwrap_or(0);
    text.extend([0x49, 0xbc]); // mov r12, slot
    text.extend((window + first_slot).to_le_bytes());
    text.extend([0x45, 0x31, 0xed]); // xor r13d, r13d
    text.extend([0x48, 0xb8]); // mov rax, window
    text.extend(window.to_le_bytes());
    text.extend([0xff, 0xe0]); // jmp rax

    let header_bytes = 64 + 56u64;
    let total = header_bytes + text.len() as u64;
    let mut elf = Vec::with_capacity(total as usize);
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend(2u16.to_le_bytes()); // ET_EXEC
    elf.extend(62u16.to_le_bytes()); // EM_X86_64
    elf.extend(1u32.to_le_bytes());
    elf.extend((INIT_BASE + header_bytes).to_le_bytes()); // entry
    elf.extend(64u64.to_le_bytes()); // program headers follow
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    elf.extend(64u16.to_le_bytes());
    elf.extend(56u16.to_le_bytes());
    elf.extend(1u16.to_le_bytes());
    elf.extend([0; 6]);
    elf.extend(1u32.to_le_bytes()); // PT_LOAD
    elf.extend(5u32.to_le_bytes()); // read, execute
    elf.extend(0u64.to_le_bytes());
    elf.extend(INIT_BASE.to_le_bytes());
    elf.extend(INIT_BASE.to_le_bytes());
    elf.extend(total.to_le_bytes());
    elf.extend(total.to_le_bytes());
    elf.extend(4096u64.to_le_bytes());
    elf.extend(text);
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_begun_when_its_first_call_is_made() {
        let (slot, request) = (0x1000, 7);
        let start = &raw const homenode_stub as usize;
        let batch = (&raw const homenode_stub_next as usize - start) as u64;
        let first = slot + CALLS as u64;
        let nothing =
            |offset, next, served| has_executed_nothing(offset, [slot, next, served], request);
        // Waits, or has just seen it; `rbx` is what the batch before has left.
        assert!(nothing(batch, first + 64, 6));
        assert!(nothing(batch - 1, first + 64, 7));
        // Before the first call, and behind it.
        assert!(nothing(batch, first, 7));
        assert!(nothing(calling_offset() - 2, first, 7));
        assert!(!nothing(batch, first + 64, 7));
        assert!(!nothing(calling_offset() - 2, first + 64, 7));
        assert!(!nothing(calling_offset(), first, 7));
    }
}
