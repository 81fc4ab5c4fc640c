/** `dpr lab up`: a whole cluster in network namespaces, until `dpr lab down`. */
import { Command, Flags } from '@oclif/core'
import type { LabSpec } from '../../../lab/spec.ts'
import { endSignal } from './end-signal.ts'
import { renderLab } from './render-lab.ts'
import { nameFlag } from './name-flag.ts'

const POLICIES = ['above-average', 'ring', 'hash', 'router', 'local'] as const satisfies readonly LabSpec['policy'][]
const DATAPATHS = ['tun', 'bpf'] as const satisfies readonly LabSpec['datapath'][]
const ADDRESSING = ['auto', 'mac', 'ipip'] as const satisfies readonly LabSpec['addressing'][]

export default class LabUp extends Command {
  static override summary = 'Start a whole cluster in network namespaces on this machine.'
  static override description =
    'Hosts on one or more L2 segments, a router between them and a client in a subnet of its own; a daemon and a web ' +
    'server on every host. Returns when all hosts see each other and every published address answers the client. ' +
    'Nothing of the machine itself is touched. It stays up until `dpr lab down`. Needs root.'
  static override examples = [
    '<%= config.bin %> lab up',
    '<%= config.bin %> lab up --name big --segments 2 --hosts-per-segment 5 --json',
    `<%= config.bin %> lab up --server 'exec python3 -m http.server $DPR_PORT'`,
  ]
  static override flags = {
    name: nameFlag,
    segments: Flags.integer({ summary: 'L2 segments', default: 2 }),
    'hosts-per-segment': Flags.integer({ summary: 'hosts on each segment', default: 2 }),
    policy: Flags.option({ options: POLICIES })({ summary: 'policy of the cluster' }),
    'full-at': Flags.integer({ summary: 'flows at which a host is full' }),
    datapath: Flags.option({ options: DATAPATHS })({ summary: 'engine of the daemons' }),
    addressing: Flags.option({ options: ADDRESSING })({ summary: 'how packets reach other hosts' }),
    mtu: Flags.integer({ summary: 'MTU of every link, bytes' }),
    'link-mbit': Flags.integer({ summary: "rate of every host's link, Mbit/s" }),
    server: Flags.string({
      summary: 'shell command that serves on each host instead of the built-in web server',
      description:
        'Runs in the host with DPR_HOST, DPR_ADDRESS, DPR_PUBLISHED, DPR_PORT and DPR_DIR (a directory of its own) set.',
      helpValue: 'CMD',
    }),
    json: Flags.boolean({ summary: 'describe the lab as JSON on stdout' }),
  }

  override async run(): Promise<void> {
    const { flags } = await this.parse(LabUp)
    const { labUp } = await import('../../../lab/up.ts')
    const lab = await labUp({
      name: flags.name,
      segments: flags.segments,
      hostsPerSegment: flags['hosts-per-segment'],
      policy: flags.policy,
      fullAt: flags['full-at'],
      datapath: flags.datapath,
      addressing: flags.addressing,
      mtu: flags.mtu,
      linkMbit: flags['link-mbit'],
      server: flags.server,
      signal: endSignal(),
      progress: (line) => this.logToStderr(line),
    })
    this.log(flags.json ? JSON.stringify(lab) : renderLab(lab.toJSON()))
  }
}
