/** Colours, on a terminal only (and not if NO_COLOR is set): Node's own rule for a stream. */
import { styleText } from 'node:util'
import type { Paint } from './render-peers.ts'

const COLOURS = { good: 'green', doubtful: 'yellow', bad: 'red' } as const

export const paint: Paint = (tone, text) => styleText(COLOURS[tone], text, { stream: process.stdout })
