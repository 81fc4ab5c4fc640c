/**
 * One connection that never stops talking. `serve ADDRESS PORT` answers each byte with the same byte; `talk ADDRESS PORT`
 * sends one, waits for its echo, prints a line, and goes on.
 */
import { connect, createServer } from 'node:net'

const [mode, host = '', port] = process.argv.slice(2)
if (mode === 'serve') {
  createServer((socket) => socket.pipe(socket)).listen(Number(port), host, () => console.log('listening'))
} else {
  const socket = connect({ host, port: Number(port), noDelay: true }, () => socket.write('x'))
  socket.on('data', () => {
    console.log('echo')
    setTimeout(() => socket.write('x'), 20)
  })
  socket.on('error', (error) => console.log(`error ${error.message}`))
  socket.on('close', () => console.log('closed'))
}
