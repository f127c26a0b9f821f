/** Dendrite, which cannot knock, with the service beside it: knocks are put into its rooms. */
import { playAll } from './support/play.ts'
import { SETTINGS } from './support/settings.ts'

playAll(SETTINGS.dendriteInject)
