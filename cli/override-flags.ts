/**
 * The flags that stand over keys of the configuration, made from the one table of overrides. Their values stay text: the
 * configuration's schema judges them, and its messages name the flag.
 */
import { Flags } from '@oclif/core'
import type { Interfaces } from '@oclif/core'
import { OVERRIDES } from '../node/config-overrides.ts'
import type { FlagValues, Override } from '../node/config-overrides.ts'

const HELP_VALUES: Readonly<Record<Override['kind'], string>> = {
  text: 'VALUE',
  number: 'NUMBER',
  list: 'A,B',
  services: 'tcp/80,…',
}

type OverrideFlags = Record<string, Interfaces.OptionFlag<string | undefined>>

export function overrideFlags(command: 'init' | 'start'): OverrideFlags {
  return Object.fromEntries(
    rows(command).map(({ flag, env, kind, summary }) => [
      flag,
      Flags.string({
        // Named, not handed to oclif: it must stay visible that a value came from the environment.
        summary: env === undefined || command === 'init' ? summary : `${summary} [env: ${env}]`,
        helpValue: HELP_VALUES[kind],
      }),
    ]),
  )
}

/** The values of those flags alone. */
export function overrideValues(command: 'init' | 'start', flags: Readonly<Record<string, unknown>>): FlagValues {
  return Object.fromEntries(
    rows(command).map(({ flag }) => [flag, typeof flags[flag] === 'string' ? flags[flag] : undefined]),
  )
}

function rows(command: 'init' | 'start'): Override[] {
  return OVERRIDES.filter(({ commands }) => commands === command || commands === 'init and start')
}
