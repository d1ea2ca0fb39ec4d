import { handJwt, newUser } from './support/hand.js'
import { serve } from './support/serve.js'

serve(async (settings) => {
  const user = await newUser()
  const users = new Map([[user.id, user]])
  return await handJwt(settings, user, (id) => users.get(id))
})
