/** Every policy by the name that configuration and `dpr policy set` know it by. */
import { aboveAverage } from './above-average.ts'
import { hash } from './hash.ts'
import { local } from './local.ts'
import { ring } from './ring.ts'
import { router } from './router.ts'
import type { Policy, PolicyName } from './types.ts'

export const policies: Readonly<Record<PolicyName, Policy>> = Object.freeze({
  'above-average': aboveAverage,
  ring,
  hash,
  router,
  local,
})
