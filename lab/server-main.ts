/** Process entry of the built-in web server: DPR_HOST names the host, DPR_PORT the port, TERM ends it. */
import { labServer } from './server.ts'

/** As the kernel's somaxconn in a lab's hosts: bursts of new connections are what is being tested. */
const BACKLOG = 4096

const host = process.env['DPR_HOST'] ?? 'host'
const port = Number(process.env['DPR_PORT'] ?? '80')
const server = labServer(host)
server.on('error', (error) => {
  console.error(`cannot serve on port ${port}: ${error.message}`)
  process.exit(1)
})
server.listen({ host: '0.0.0.0', port, backlog: BACKLOG }, () => console.log(`${host} serves on port ${port}`))
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
