/** A lab for people: its hosts, and what to try next. */
import type { LabHostStatus } from '../../../lab/lab-status.ts'
import type { LabHostJson, LabJson } from '../../../lab/lab.ts'
import { textTable } from '../../table.ts'

const PLACE = ['HOST', 'SEGMENT', 'ADDRESS', 'PUBLISHES']

function place(host: LabHostJson): string[] {
  return [host.name, host.segment, host.address, host.published.join(' ')]
}

/** What `dpr lab up` ends with. */
export function renderLab(lab: LabJson): string {
  const titles = [...PLACE, 'DAEMON', 'SERVER'].map((title) => ({ title }))
  const rows = lab.hosts.map((host) => [...place(host), pid(host.daemonPid), pid(host.serverPid)])
  const name = lab.name === 'lab' ? '' : ` --name ${lab.name}`
  const published = lab.hosts[0]?.published[0] ?? ''
  return [
    textTable(titles, rows),
    '',
    `dpr lab exec${name} client -- curl -s http://${published}/`,
    `dpr lab exec${name} h1 -- dpr peers`,
    `dpr lab down${name}`,
  ].join('\n')
}

/** `dpr lab status`. */
export function renderLabStatus(hosts: readonly LabHostStatus[]): string {
  const titles = [...PLACE, 'ANNOUNCES', 'DAEMON', 'SERVER', 'SEES ALIVE', 'LOAD', 'FLOWS'].map((title) => ({ title }))
  const rows = hosts.map((host) => [
    ...place(host),
    host.announces.join(' ') || '-',
    pid(host.daemonPid),
    pid(host.serverPid),
    host.membersAlive === null ? '-' : `${host.membersAlive} of ${hosts.length}`,
    host.load?.toFixed(2) ?? '-',
    String(host.activeFlows ?? '-'),
  ])
  return textTable(titles, rows)
}

function pid(value: number | null): string {
  return value === null ? 'gone' : String(value)
}
