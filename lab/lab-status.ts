/** What is going on in a lab, host by host: processes, and what each daemon says. For `dpr lab status`. */
import type { Lab, LabHostJson, LabJson } from './lab.ts'

export interface LabHostStatus extends LabHostJson {
  /** Members that its daemon sees alive, itself included; null if it does not answer. */
  membersAlive: number | null
  load: number | null
  activeFlows: number | null
  announces: string[]
}

export interface LabStatus extends Omit<LabJson, 'hosts'> {
  hosts: LabHostStatus[]
}

export async function labStatus(lab: Lab): Promise<LabStatus> {
  const json = lab.toJSON()
  return { ...json, hosts: await Promise.all(json.hosts.map((host) => hostStatus(lab, host))) }
}

async function hostStatus(lab: Lab, host: LabHostJson): Promise<LabHostStatus> {
  const silent = { ...host, membersAlive: null, load: null, activeFlows: null, announces: [] }
  if (host.daemonPid === null) return silent
  try {
    const [peers, { load, activeFlows, announces }] = await Promise.all([lab.peers(host.name), lab.status(host.name)])
    const membersAlive = peers.filter((peer) => peer.status === 'alive').length
    return { ...host, membersAlive, load, activeFlows, announces }
  } catch {
    return silent // it is starting, stopped or hung: its log tells more than an error could here
  }
}
