// Hashes or verifies passwords, one at a time: the least work of a registration or a login.
import { hash, verify } from '@node-rs/argon2'
import { CREDENTIALS } from './support/reply.js'
import { serve } from './support/serve.js'
import { COST } from './support/password.js'

serve(async ({ prepared }) => {
  const stored = await hash(CREDENTIALS.password, COST)
  return { run: prepared ? () => verify(stored, CREDENTIALS.password) : () => hash(CREDENTIALS.password, COST) }
})
