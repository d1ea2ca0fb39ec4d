import type { SchemaPlan } from '../../contracts/store-schema.js'
import { modelsOf } from '../../models.js'
import { storeSchemaOf } from '../application.js'
import { failWith, type ExitCode, type Terminal, type Values } from '../command.js'
import type { Config } from '../config.js'
import { lockTimeoutMessage, messageOf } from '../error-messages.js'
import { scriptOf } from '../sql-script.js'

/** Runs `fastify-users migrate` without `--from`. */
export async function runUpgrade (values: Values, terminal: Terminal, config: Config): Promise<ExitCode> {
  const schema = storeSchemaOf(config)
  if (schema === null) return failWith(terminal, `the adapter of ${config.file} has no schema to migrate`)
  const isApplied = values['dry-run'] !== true && values['check'] !== true
  let plan
  try {
    const models = modelsOf(config.options, config.settings)
    plan = await (isApplied ? schema.apply(models) : schema.plan(models))
  } catch (error) {
    return failWith(terminal, lockTimeoutMessage(error) ?? messageOf(error))
  }
  if (plan.problems.length > 0) {
    return failWith(terminal, `nothing was changed:\n${plan.problems.map((problem) => `  - ${problem}`).join('\n')}`)
  }
  return printSchemaPlan(plan, values, terminal)
}

function printSchemaPlan ({ steps }: SchemaPlan, values: Values, terminal: Terminal): ExitCode {
  if (values['dry-run'] === true) {
    terminal.print(steps.length === 0 ? '-- Nothing to do.' : scriptOf(steps))
    return 0
  }
  if (steps.length === 0) {
    terminal.print('Nothing to do: the database has the current schema.')
    return 0
  }
  const pending = values['check'] === true
  terminal.print(`${pending ? 'Pending' : 'Changed'}:\n${steps.map(({ text }) => `  - ${text}`).join('\n')}`)
  return pending ? 1 : 0
}
