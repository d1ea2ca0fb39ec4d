// The config of the command line: `npx fastify-users migrate --config …`
import { readSettings } from './settings.js'
import { createClients, serverOptions, usersOptions } from './users-options.js'

const settings = readSettings(process.env)
export const server = serverOptions(settings) // for \`doctor\`
export default usersOptions(settings, createClients(settings))
