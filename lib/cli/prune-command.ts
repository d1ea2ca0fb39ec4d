import type { FastifyInstance } from 'fastify'
import { deleteExpired } from '../adapters/shared/delete-expired.js'
import { modelsOf } from '../models.js'
import { withApplication } from './application.js'
import type { Command, Terminal } from './command.js'
import { CONFIG_FILE, withConfig, type Config } from './config.js'
import { messageOf } from './error-messages.js'

const HELP = `Usage: fastify-users prune [options]

Deletes expired rows from the database: stored tokens, and rows of features that
expire. It works in small batches and can run beside the application.

  --config FILE   Config file with the options of the application. Default:
                  ${CONFIG_FILE}.
  --help          Prints this text.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage.`

/** The command `fastify-users prune`. */
export const pruneCommand: Command = {
  summary: 'Deletes expired tokens and rows.',
  help: HELP,
  options: { config: { type: 'string', default: CONFIG_FILE } },

  run: (values, terminal) =>
    withConfig(values, terminal, async (config) => {
      try {
        await withApplication(config, async (app) => {
          await prune(app, config, terminal)
        })
        return 0
      } catch (error) {
        terminal.printError(`fastify-users: ${messageOf(error)}`)
        return 1
      }
    })
}

async function prune (app: FastifyInstance, config: Config, terminal: Terminal): Promise<void> {
  const { options, settings } = config
  await app.ready()
  let pruned = 0
  for (const { name, strategy } of app.users.backends.values()) {
    if (strategy.purge === undefined) continue
    const count = await purgeAll(strategy.purge.bind(strategy))
    terminal.print(`backend ${name}: expired tokens removed: ${count}`)
    pruned++
  }
  for (const model of modelsOf(options, settings)) {
    if (model.expires === undefined) continue
    const count = await deleteExpired(options.adapter, model, model.expires, new Date(settings.clock()))
    terminal.print(`${model.name}: expired rows removed: ${count}`)
    pruned++
  }
  if (pruned === 0) terminal.print('Nothing to prune: this application stores nothing that expires.')
}

/** Calls `purge` until it deletes nothing, because a custom strategy may delete one batch per call. */
async function purgeAll (purge: () => Promise<number>): Promise<number> {
  let sum = 0
  for (let count = -1; count !== 0; sum += count) count = await purge()
  return sum
}
