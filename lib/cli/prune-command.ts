import type { DatabaseAdapter } from '../contracts/database-adapter.js'
import type { Model, Value } from '../contracts/models.js'
import { withApplication } from './application.js'
import { messageOf } from './arguments.js'
import type { Command } from './command.js'
import { CONFIG_FILE, withConfig } from './config.js'

const BATCH = 1000

const HELP = `Usage: fastify-users prune [options]

Removes what has expired from the database: stored tokens, and what features keep for
a time. It works in small steps, and may run beside the application.

  --config FILE   The options of the application (${CONFIG_FILE}).
  --help          Shows this.

Exit codes: 0 done, 1 refused or failed, 2 called in a wrong way.`

/** `fastify-users prune`. */
export const pruneCommand: Command = {
  summary: 'Removes expired tokens.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE } },

  run: (values, terminal) => withConfig(values, terminal, async (config) => {
    const { options: { adapter }, settings: { clock } } = config
    try {
      await withApplication(config, async ({ app, models }) => {
        await app.ready()
        let places = 0
        for (const { name, strategy } of app.users.backends.values()) {
          if (strategy.purge === undefined) continue
          terminal.print(`backend ${name}: expired tokens removed: ${await repeat(strategy.purge.bind(strategy))}`)
          places++
        }
        for (const model of models) {
          const { expires } = model
          if (expires === undefined) continue
          terminal.print(`${model.name}: expired rows removed: ${await repeat(() => removeExpired(adapter, model, expires, new Date(clock())))}`)
          places++
        }
        if (places === 0) terminal.print('Nothing of this application expires in the database.')
      })
      return 0
    } catch (error) {
      terminal.complain(`fastify-users: ${messageOf(error)}`)
      return 1
    }
  })
}

/** Until nothing is left. */
async function repeat (step: () => Promise<number>): Promise<number> {
  let sum = 0
  for (let count = -1; count !== 0; sum += count) count = await step()
  return sum
}

async function removeExpired (adapter: DatabaseAdapter, model: Model, field: string, now: Date): Promise<number> {
  const [key = ''] = Object.keys(model.fields)
  const rows = await adapter.findMany(model, { [field]: { lt: now } }, { limit: BATCH })
  return rows.length === 0 ? 0 : await adapter.delete(model, { [key]: { in: rows.map((row) => row[key] as Value) }, [field]: { lt: now } })     // keys are values
}
