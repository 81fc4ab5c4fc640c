/** nginx from Debian as a lab's web server: its name, a file to download, uploads by PUT; plus what a client does to it. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from '../../lab/lab.ts'

/** Both ways: far above any buffer on the path, so that windows, super-packets and cutting are exercised. */
export const BODY_BYTES = 10 * 1024 * 1024

const CONFIG = `
worker_processes 1;
pid $DPR_DIR/nginx.pid;
error_log $DPR_DIR/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_timeout 600;
  keepalive_requests 100000000;
  client_body_temp_path $DPR_DIR/body;
  proxy_temp_path $DPR_DIR/proxy;
  fastcgi_temp_path $DPR_DIR/fastcgi;
  uwsgi_temp_path $DPR_DIR/uwsgi;
  scgi_temp_path $DPR_DIR/scgi;
  client_max_body_size 2g;
  server {
    listen 80 backlog=4096;
    add_header x-dpr-host $DPR_HOST always;
    location = / { return 200 "$DPR_HOST\\n"; }
    location /files/ { root $DPR_DIR; dav_methods PUT; create_full_put_path on; }
  }
}`

/** For \`labUp({ server })\`: writes the configuration, makes the file, becomes nginx. */
export const NGINX_SERVER = [
  'umask 022',
  'mkdir -p "$DPR_DIR/files"',
  'chmod 777 "$DPR_DIR" "$DPR_DIR/files"',
  `head -c ${BODY_BYTES} /dev/urandom > "$DPR_DIR/files/down"`,
  `cat > "$DPR_DIR/nginx.conf" <<END${CONFIG}\nEND`,
  'exec nginx -c "$DPR_DIR/nginx.conf" -g "daemon off; user root;"',
].join('\n')

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** A file in the work directory of a host's server. */
export function serverFile(lab: Lab, host: string, name: string): Buffer {
  return readFileSync(join(lab.paths(host).work, 'files', name))
}

/** One GET from a given client port, though it may have been used a moment ago; the host that answered. */
export async function getNameFrom(lab: Lab, address: string, localPort: number): Promise<string> {
  const script = `require('node:http').get({ host: '${address}', localPort: ${localPort}, agent: false },
    (response) => response.on('data', (text) => process.stdout.write(text)))`
  const { code, stdout, stderr } = await lab.exec('client', [process.execPath, '-e', script])
  if (code !== 0) throw new Error(`GET from port ${localPort}: ${stderr.trim()}`)
  return stdout.trim()
}

/** Which host answered, of `count` GETs, each on a connection of its own; few processes. */
export async function countNames(lab: Lab, address: string, count: number): Promise<Record<string, number>> {
  const script = `for i in $(seq ${count}); do curl -sS -m 10 http://${address}/ || exit 1; done`
  const { code, stdout, stderr } = await lab.exec('client', ['sh', '-c', script], { timeoutMs: 120_000 })
  if (code !== 0) throw new Error(`GETs to ${address}: ${stderr.trim()}`)
  const names: Record<string, number> = {}
  for (const name of stdout.trim().split('\n')) names[name] = (names[name] ?? 0) + 1
  return names
}

export interface Transfer {
  host: string
  sha256: string
}

/** Downloads the host's file; what arrived and from whom. */
export async function download(lab: Lab, address: string): Promise<Transfer> {
  const script = `curl -sS -m 60 -w '%{stderr}%header{x-dpr-host}' http://${address}/files/down | sha256sum`
  const { code, stdout, stderr } = await lab.exec('client', ['sh', '-c', script], { timeoutMs: 70_000 })
  if (code !== 0) throw new Error(`download: ${stderr}`)
  return { host: stderr.trim(), sha256: stdout.slice(0, 64) }
}

/** Uploads the file at `path` under a name; who took it. */
export async function upload(lab: Lab, address: string, path: string, name: string): Promise<string> {
  const url = `http://${address}/files/${name}`
  const argv = ['curl', '-sS', '-m', '60', '-w', '%{stderr}%{http_code} %header{x-dpr-host}', '-T', path, url]
  const { code, stderr } = await lab.exec('client', argv, { timeoutMs: 70_000 })
  const [status = '', host = ''] = stderr.trim().split(' ')
  if (code !== 0 || !/^20[14]$/.test(status)) throw new Error(`upload: ${stderr}`)
  return host
}
