import { deleteExpired } from '../adapters/shared/delete-expired.js'
import { withApplication } from './application.js'
import { messageOf } from './arguments.js'
import type { Command } from './command.js'
import { CONFIG_FILE, withConfig } from './config.js'

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

  run: (values, terminal) =>
    withConfig(values, terminal, async (config) => {
      const {
        options: { adapter },
        settings: { clock }
      } = config
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
            terminal.print(
              `${model.name}: expired rows removed: ${await deleteExpired(adapter, model, expires, new Date(clock()))}`
            )
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

/** Repeats a purge until it finds nothing: strategies of applications may remove a part at a time. */
async function repeat (step: () => Promise<number>): Promise<number> {
  let sum = 0
  for (let count = -1; count !== 0; sum += count) count = await step()
  return sum
}
