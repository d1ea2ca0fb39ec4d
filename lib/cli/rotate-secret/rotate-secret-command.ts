import { memory } from '../../adapters/memory/index.js'
import { withApplication } from '../application.js'
import { failWith, type Command } from '../command.js'
import { CONFIG_FILE, withConfig } from '../config.js'
import { messageOf } from '../error-messages.js'
import { KEY_ALGORITHMS, planKeyPair, type KeyAlgorithm } from './key-plan.js'
import { printPlan, printPlanAsJson } from './rotation-plan.js'
import { planSecret } from './secret-plan.js'

const HELP = `Usage: fastify-users rotate-secret [options]

Prints a new secret, the steps in which it replaces the present one without ending a
session, and the time after which the present one can be removed. The time is computed
from the lifetimes of the config. The command changes and stores nothing.

  --keys ALGORITHM  Prints a key pair for JWT backends instead: ES256, EdDSA or RS256.
  --at TIME         Time at which the new secret or key signs in all processes, such as
                    2026-11-29T10:00Z. Default: now.
  --json            Prints a JSON object.
  --config FILE     Config file with the options of the application. Default:
                    ${CONFIG_FILE}.
  --help            Prints this text.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.`

/** The command `fastify-users rotate-secret`. */
export const rotateSecretCommand: Command = {
  summary: 'Prints a new secret or key pair, and how to replace the present one.',
  help: HELP,
  options: {
    keys: { type: 'string' },
    at: { type: 'string' },
    json: { type: 'boolean' },
    config: { type: 'string', default: CONFIG_FILE }
  },

  async run (values, terminal) {
    const algorithm = values['keys']
    if (algorithm !== undefined && !isKeyAlgorithm(algorithm)) {
      return failWith(terminal, `--keys must be one of ${KEY_ALGORITHMS.join(', ')}`, 2)
    }
    const switched = values['at'] === undefined ? null : new Date(String(values['at']))
    if (switched !== null && Number.isNaN(switched.getTime())) {
      return failWith(terminal, '--at must be a time such as 2026-11-29T10:00Z', 2)
    }
    return await withConfig(values, terminal, async ({ options, settings }) => {
      try {
        // the configured store is not needed
        const profile = await withApplication({ options: { ...options, adapter: memory() } }, async (app) => {
          await app.ready()
          return app.users.securityProfile()
        })
        const now = new Date(settings.clock())
        const plan =
          algorithm === undefined
            ? planSecret(profile, switched ?? now)
            : planKeyPair(profile, algorithm, { now, switched })
        if (values['json'] === true) printPlanAsJson(plan, terminal)
        else printPlan(plan, terminal)
        return 0
      } catch (error) {
        return failWith(terminal, messageOf(error))
      }
    })
  }
}

function isKeyAlgorithm (value: unknown): value is KeyAlgorithm {
  return KEY_ALGORITHMS.some((name) => name === value)
}
