/** Quantities as people type them into flags: `500ms`, `2s`, `1.5min`; `2%`, `0.02`; `1000`, `1_000`. */
import { NodeError } from '../node/errors.ts'

const UNITS_MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 }

/** @throws NodeError E_USAGE that names flag, value and what is right; so do all below */
export function milliseconds(flag: string, text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/u.exec(text) ?? []
  const scale = unit === undefined ? undefined : UNITS_MS[unit]
  if (number === undefined || scale === undefined) throw wrong(flag, text, 'a time with its unit, as 500ms, 2s or 1min')
  return Number(number) * scale
}

/** 0 to 1. */
export function share(flag: string, text: string): number {
  const [, number, percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/u.exec(text) ?? []
  if (number === undefined) throw wrong(flag, text, 'a share, as 2% or 0.02')
  return percent === '%' ? Number(number) / 100 : Number(number)
}

export function wholeNumber(flag: string, text: string): number {
  if (!/^\d+(?:_\d+)*$/u.test(text)) throw wrong(flag, text, 'a whole number')
  return Number(text.replaceAll('_', ''))
}

/** One of the names, several of them with commas between, or `all`. */
export function namesOf<Name extends string>(flag: string, text: string, names: readonly Name[]): Name[] {
  if (text === 'all') return [...names]
  return text.split(',').map((name) => {
    const known = names.find((each) => each === name.trim())
    if (known === undefined) throw wrong(flag, name.trim(), `one or more of ${names.join(', ')}, or all`)
    return known
  })
}

function wrong(flag: string, text: string, right: string): NodeError {
  return new NodeError('E_USAGE', `--${flag} is ${JSON.stringify(text)}`, { remedy: `give it ${right}` })
}
