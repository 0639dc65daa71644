"""The trees of a bag in ONNX: one operator, over the inputs that `servers/models.py` lays out."""

import onnx
from onnx import TensorProto, helper

# Marks a leaf's number among places.
LEAF = 1 << 31


def network(weights):
    """The bytes of an ONNX model from (records, inputs) to the mean shares of the labels."""
    child, share = weights["trees.child"], weights["trees.share"]
    tried, threshold = weights["trees.input"], weights["trees.threshold"]
    nodes, leaves = [], []

    def name(place):
        """The number of a place within its tree: leaves come after all splits."""
        return place - LEAF + len(child) if place >= LEAF else place

    for tree, root in enumerate(map(int, weights["trees.root"])):
        open_places = [root]
        while open_places:
            place = open_places.pop()
            if place >= LEAF:
                nodes.append((tree, name(place), 0, "LEAF", 0.0, 0, 0))
                leaves += [(tree, name(place), label, float(value)) for label, value in enumerate(share[place - LEAF])]
            else:
                below, above = map(int, child[place])
                ways = name(below), name(above)
                nodes.append((tree, place, int(tried[place]), "BRANCH_LEQ", float(threshold[place]), *ways))
                open_places += [above, below]
    trees, ids, features, modes, values, true, false = map(list, zip(*nodes))
    target_trees, target_nodes, target_labels, target_values = map(list, zip(*leaves))
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["shares"], domain="ai.onnx.ml", aggregate_function="AVERAGE",
        n_targets=share.shape[1], nodes_treeids=trees, nodes_nodeids=ids, nodes_featureids=features, nodes_modes=modes,
        nodes_values=values, nodes_truenodeids=true, nodes_falsenodeids=false, target_treeids=target_trees,
        target_nodeids=target_nodes, target_ids=target_labels, target_weights=target_values,
    )
    graph = helper.make_graph(
        [node], "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["records", "inputs"])],
        [helper.make_tensor_value_info("shares", TensorProto.FLOAT, ["records", share.shape[1]])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
