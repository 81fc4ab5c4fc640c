/**
 * Every fault that `dpr` can end with, in one table: the exit code a script sees, one sentence, and what to do. The
 * codes of the other rooms' error classes stand here too, since whatever they throw ends up on the same command line.
 * docs/reference/errors.md documents this table and a test keeps the two in step.
 *
 * Exit codes are stable. 1 is a bug of ours; 126 and above belong to the shell (not executable, killed by a signal).
 */

export interface ErrorCodeEntry {
  exitCode: number
  /** What the code means, one sentence. */
  meaning: string
  /** What to do when the error itself says nothing better. */
  remedy: string
}

const table = {
  E_INTERNAL: {
    exitCode: 1,
    meaning: 'Something happened that the program does not expect: a bug.',
    remedy: 'run again with DPR_DEBUG=1 and report what it prints',
  },
  E_USAGE: {
    exitCode: 2,
    meaning: 'The command line names a command, flag or argument that does not exist or does not fit.',
    remedy: 'see dpr --help',
  },
  E_CONFIG_MISSING: {
    exitCode: 3,
    meaning: 'The configuration file is not there or cannot be read.',
    remedy: 'write one with dpr init, or name it with --config or DPR_CONFIG',
  },
  E_CONFIG_INVALID: {
    exitCode: 4,
    meaning: 'The configuration is wrong; there is one line for each problem.',
    remedy: 'mend the named key; docs/reference/config.md describes them all',
  },
  E_ADDRESS_NOT_LOCAL: {
    exitCode: 5,
    meaning: 'The node address is on no interface of this host.',
    remedy: 'set nodeAddress to an address of this host, or add the address to an interface',
  },
  E_INTERFACE_UNKNOWN: {
    exitCode: 6,
    meaning: 'An attachment names an interface that this host does not have, or one without an IPv4 address.',
    remedy: 'name an interface that `ip address` shows with an IPv4 address',
  },
  E_HOST_FACTS: {
    exitCode: 7,
    meaning: 'What /proc and /sys say about this host cannot be read or contradicts itself.',
    remedy: 'mount /proc and /sys of the network namespace that dpr runs in (ip netns exec does)',
  },
  E_NOT_ROOT: {
    exitCode: 8,
    meaning: 'The daemon lacks the rights to change devices, addresses and filters.',
    remedy: 'run it as root or with CAP_NET_ADMIN and CAP_NET_RAW',
  },
  E_NO_TUN: {
    exitCode: 9,
    meaning: 'The TUN/TAP driver (/dev/net/tun) is missing or not allowed.',
    remedy: 'load it with modprobe tun, or give the container the device /dev/net/tun',
  },
  E_TOOL_MISSING_IP: {
    exitCode: 10,
    meaning: 'The command `ip` is missing.',
    remedy: 'install iproute2',
  },
  E_TOOL_MISSING_TC: {
    exitCode: 11,
    meaning: 'The command `tc` is missing.',
    remedy: 'install iproute2 (some distributions pack tc apart, as iproute2-tc or iproute-tc)',
  },
  E_TOOL_MISSING_NFT: {
    exitCode: 12,
    meaning: 'The command `nft` is missing.',
    remedy: 'install nftables',
  },
  E_CLUSTER_KEY_MISSING: {
    exitCode: 13,
    meaning: 'The cluster key file is not there or cannot be read.',
    remedy: 'make one with dpr init on the first host and copy it to the others',
  },
  E_CLUSTER_KEY_INVALID: {
    exitCode: 14,
    meaning: 'The cluster key file does not hold a cluster key.',
    remedy: 'copy it again from another host of the cluster',
  },
  E_CLUSTER_KEY_EXPOSED: {
    exitCode: 15,
    meaning: 'Others than its owner may read the cluster key file.',
    remedy: 'chmod 600 the file; if strangers may have read it, give the cluster a new key',
  },
  E_CLUSTER_KEY_REFUSED: {
    exitCode: 16,
    meaning: 'Every seed that could be reached refuses this cluster key.',
    remedy: 'copy the cluster key file from a host of the cluster, or correct gossip.seeds',
  },
  E_IDENTITY_INVALID: {
    exitCode: 17,
    meaning: 'The identity file of this node is empty, too large or readable by others.',
    remedy: 'restore it with mode 0600, or remove it: the node then joins as a new member',
  },
  E_GOSSIP_PORT_IN_USE: {
    exitCode: 18,
    meaning: 'Another process listens on the gossip port.',
    remedy: 'stop that process (ss -ltnp shows it) or choose another gossip.port',
  },
  E_ALREADY_RUNNING: {
    exitCode: 19,
    meaning: 'A daemon runs on this host already, or answers on the control socket.',
    remedy: 'use the running one (dpr status), or stop it first',
  },
  E_SOCKET_UNREACHABLE: {
    exitCode: 20,
    meaning: 'No daemon answers on the control socket.',
    remedy: 'is `dpr node start` running? name its socket with --socket or DPR_SOCKET',
  },
  E_SOCKET_DENIED: {
    exitCode: 21,
    meaning: 'The control socket is there, but this user may not open it.',
    remedy: 'run the command as root or as the user that runs the daemon',
  },
  E_CONTROL_FAILED: {
    exitCode: 22,
    meaning: 'The daemon answered a request too late, with an error, or with something that is no JSON.',
    remedy: 'look at the daemon’s log',
  },
  E_FILE_EXISTS: {
    exitCode: 23,
    meaning: 'A file that would be written is there already.',
    remedy: 'move it away, or replace it with --force',
  },
  E_FILE_UNWRITABLE: {
    exitCode: 24,
    meaning: 'A file or directory cannot be written.',
    remedy: 'check its owner and mode and the free space of its file system',
  },
  E_INTERFACE_GONE: {
    exitCode: 25,
    meaning: 'An interface that was there is gone, or has become another one.',
    remedy: 'bring the interface back and start again, or correct attachments',
  },
  E_HOST_COMMAND: {
    exitCode: 26,
    meaning: 'One of the commands ip, tc and nft failed; its own words are in the message.',
    remedy: 'run the command by hand to see more',
  },
  E_SYSCTL: {
    exitCode: 27,
    meaning: 'A kernel setting under /proc/sys/net cannot be read or written.',
    remedy: 'mount /proc/sys writable and run as root',
  },
  E_JOURNAL: {
    exitCode: 28,
    meaning: 'The journal of host changes in the runtime directory cannot be read or written.',
    remedy: 'check runtimeDirectory: its owner, its mode and its free space',
  },
  E_FILTER_TAKEN: {
    exitCode: 29,
    meaning: 'A traffic filter of somebody else sits at a preference that dpr needs.',
    remedy: 'move that filter to another preference; the message names device and preference',
  },
  E_HOST_BUSY: {
    exitCode: 30,
    meaning: 'Another daemon holds the steering of this host.',
    remedy: 'stop that daemon first',
  },
  E_GUARD: {
    exitCode: 31,
    meaning: 'The guard process, which opens the steering when the daemon dies, cannot be started.',
    remedy: 'the cause is in the message; without a guard a dead daemon would swallow traffic, so nothing is steered',
  },
  E_HOST_PLAN: {
    exitCode: 32,
    meaning: 'The changes to be made to this host name something that is no interface, no MAC or no IPv4 address.',
    remedy: 'check nodeAddress, published and attachments against `ip address`',
  },
  E_ENGINE: {
    exitCode: 33,
    meaning: 'A device, socket or system call of the packet engine failed.',
    remedy: 'the cause is in the message; the daemon’s log has the lines before it',
  },
  E_NO_BPF: {
    exitCode: 34,
    meaning: 'The kernel refuses a BPF program or map, or lets go of neither.',
    remedy:
      'run as root on a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF; the message has the kernel’s words',
  },
  E_GOSSIP_ADDRESS_UNAVAILABLE: {
    exitCode: 35,
    meaning: 'Gossip cannot listen on the node address: the host does not have it (any more).',
    remedy: 'add the address to an interface, or correct nodeAddress',
  },
  E_GOSSIP_LISTEN: {
    exitCode: 36,
    meaning: 'Gossip cannot listen on the node address and gossip port.',
    remedy: 'the cause is in the message; try another gossip.port',
  },
  E_GOSSIP_CLUSTER_KEY: {
    exitCode: 37,
    meaning: 'Gossip was given a cluster key that is none.',
    remedy: 'copy the cluster key file again from another host of the cluster',
  },
  E_GOSSIP_IDENTITY: {
    exitCode: 38,
    meaning: 'The identity file does not hold a private key of libp2p.',
    remedy: 'restore identity.key in stateDirectory, or remove it: the node then joins as a new member',
  },
  E_GOSSIP_SEED: {
    exitCode: 39,
    meaning: 'A seed is no ADDRESS:PORT.',
    remedy: 'correct gossip.seeds',
  },
  E_GOSSIP_FACTS: {
    exitCode: 40,
    meaning: 'What this node says about itself breaks a rule or a bound of the member record.',
    remedy: 'the message names the field; shorten lists in the configuration',
  },
  E_GOSSIP_CONFIG: {
    exitCode: 41,
    meaning: 'The settings of failure detection contradict each other.',
    remedy: 'the message names the setting and its bound',
  },
  E_POLICY_SETTINGS: {
    exitCode: 42,
    meaning: 'A setting of the policy is out of its range.',
    remedy: 'correct the key under policy',
  },
  E_POLICY_VIEW: {
    exitCode: 43,
    meaning: 'The policy was given a view of the cluster that makes no sense: a bug.',
    remedy: 'run again with DPR_DEBUG=1 and report what it prints',
  },
  E_METRICS_LISTEN: {
    exitCode: 44,
    meaning: 'Metrics cannot be served at metrics.listen: the port is taken, or the address is not this host’s.',
    remedy: 'choose another port or address for metrics.listen, or leave it out: the control socket serves metrics too',
  },
  E_LAB_SPEC: {
    exitCode: 60,
    meaning: 'An option of the lab is out of range or contradicts another.',
    remedy: 'see the help of the lab command',
  },
  E_LAB_NOT_ROOT: {
    exitCode: 61,
    meaning: 'A lab needs root, since it makes network namespaces.',
    remedy: 'run the command as root',
  },
  E_LAB_EXISTS: {
    exitCode: 62,
    meaning: 'A lab of that name is up, or on its way up.',
    remedy: 'end it with dpr lab down, or choose another name',
  },
  E_LAB_UNKNOWN: {
    exitCode: 63,
    meaning: 'No lab of that name is up.',
    remedy: 'start one with dpr lab up',
  },
  E_LAB_NODE: {
    exitCode: 64,
    meaning: 'The lab has no host of that name, or not the process that was asked for.',
    remedy: 'dpr lab status lists the hosts and their processes',
  },
  E_LAB_COMMAND: {
    exitCode: 65,
    meaning: 'A command that the lab needs (ip, tc, sysctl) is missing or failed; its own words are in the message.',
    remedy: 'install iproute2 and run as root',
  },
  E_LAB_NOT_READY: {
    exitCode: 66,
    meaning: 'The cluster of the lab did not come to agree, or does not answer, in the time allowed.',
    remedy: 'the daemons’ logs in the lab’s directory say why',
  },
  E_LAB_LEFTOVERS: {
    exitCode: 67,
    meaning: 'Something of the lab survived its end.',
    remedy: 'run dpr lab down again; the message names what is left',
  },
  E_LAB_INTERRUPTED: {
    exitCode: 68,
    meaning: 'A signal ended the lab command before its work was done.',
    remedy: 'run dpr lab down, then start again',
  },
  E_LAB_LOAD: {
    exitCode: 69,
    meaning: 'The load generator was given a load that it cannot make, or ended too early.',
    remedy: 'the message names the reason; try fewer connections or requests',
  },
} as const satisfies Record<string, ErrorCodeEntry>

export type ErrorCode = keyof typeof table

export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorCodeEntry>> = table

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(table, code)
}
